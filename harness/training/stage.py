"""Run one stage: build its trainer, train or resume, and say which checkpoint it ends with."""

import gc
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from transformers import AutoConfig, PrinterCallback, Trainer, TrainerState, set_seed

from harness.cli import UserError, user_errors
from harness.config.stages import CONTROL, Stage
from harness.config.tables import GrpoTable, Recipe, SftTable, StageTable
from harness.training.callbacks import RunCallback, SwitchCallback, plateau_reached
from harness.training.context import SELECTABLE, PolicyState, StageContext
from harness.training.control import control_updates
from harness.training.outcomes.base import verified_rewards
from harness.training.records import StageEnd, group_line
from harness.training.rows import sft_targets, stage_datasets
from harness.training.trl_args import stage_arguments
from srl_agent.generation.settings import own_ends_only
from srl_agent.models.load import load_policy
from srl_agent.rewards import RewardError
from srl_agent.training.dynamic_sampling import DynamicSampling, NoSpreadError
from srl_agent.training.memory import return_free_memory
from srl_agent.training.sft import StepSFTTrainer
from srl_agent.training.srl import SRLTrainer
from srl_agent.training.trainer_mixin import (
    CheckpointMixin,
    complete_checkpoints,
    latest_checkpoint,
    remove_partial_checkpoints,
)


def run_stage(stage: Stage, start: PolicyState, context: StageContext) -> PolicyState:
    """Train a stage, or finish an interrupted one; return the weights that it ends with. Raises UserError."""
    _collect_garbage()
    run, recipe, console = context.run, context.inputs.recipe, context.console
    if (end := run.ended_with(stage)) is not None:
        kept = end["checkpoint"]
        what = f"best checkpoint {kept}" if kept else "no checkpoint better than its start"
        console.info(f"{stage}: finished before, {what}")
        return _state_after(kept, end["metrics"], start, recipe)
    checkpoint = _checkpoint_to_resume(stage, start, context)
    trainer = make_trainer(stage, start, context)
    table: StageTable = getattr(recipe, stage)
    metric = f"eval_{recipe.metric_of(stage)}"
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(RunCallback(stage, context))
    trainer.add_callback(SwitchCallback(table.switch, metric))
    _train(stage, trainer, checkpoint, metric, table)
    chosen = _choose_checkpoint(stage, trainer, start, metric, table)
    console.info(
        f"{stage}: ends after {trainer.state.global_step} updates ({chosen.ended_by}), with "
        + (f"step {chosen.step}" if chosen.improved else "the weights that it started from")
        + f" by {recipe.metric_of(stage)}"
    )
    run.write_json(run.best(stage), asdict(chosen))
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.free_memory()
    return _state_after(chosen.checkpoint, chosen.metrics, start, recipe)


def _collect_garbage() -> None:
    """Free earlier models: models and trainers refer to themselves, so they outlive their last use."""
    gc.collect()
    return_free_memory()


def _checkpoint_to_resume(stage: Stage, start: PolicyState, context: StageContext) -> Path | None:
    """Return the newest whole checkpoint; drop partial ones and the lines written after it."""
    run = context.run
    folder = run.stage_dir(stage)
    if run.writes:
        for path in remove_partial_checkpoints(folder):
            context.console.info(f"{stage}: {path.name} was cut off while it was written: removed")
    checkpoint = latest_checkpoint(folder)
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else -1
    run.forget_after(stage, step)
    if checkpoint:
        _check_same_model(checkpoint, start.model)
        context.console.info(f"{stage}: resuming at step {step} from {checkpoint}")
    return checkpoint


def _train(
    stage: Stage, trainer: CheckpointMixin, checkpoint: Path | None, metric: str, table: StageTable
) -> None:
    if checkpoint:
        state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        if plateau_reached(state.log_history, metric, table.switch):  # killed before best.json was written
            trainer.state = state
            return
    with user_errors(NoSpreadError, RewardError, about=f"{stage}"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    trainer.save_last()


def make_trainer(stage: Stage, start: PolicyState, context: StageContext) -> CheckpointMixin:
    inputs, recipe, run = context.inputs, context.inputs.recipe, context.run
    updates = control_updates(run.metrics) if stage == CONTROL else None
    if updates is not None:
        context.console.info(f"{stage}: {updates} updates of SFT take about the time that RL took")
    # Made here and not once for the run: it resets accelerate's global state, which the last stage's trainer has set.
    args = stage_arguments(stage, recipe, run.stage_dir(stage), updates=updates)
    set_seed(recipe.seed)  # a new adapter is drawn at random
    lora = recipe.model.lora.model_dump() if recipe.model.lora else None
    dtype, options = recipe.model.dtype, recipe.model.options
    model = load_policy(start.model, dtype=dtype, lora=lora, adapter=start.adapter, **options)
    own_ends_only(model, context.chat)  # checkpoints are saved with all end tokens
    train, held_out = stage_datasets(stage, context)
    table: SftTable | GrpoTable = getattr(recipe, stage)
    shared = {
        "model": model,
        "args": args,
        "processing_class": context.tokenizer,
        "validate": lambda trainer: context.validator(trainer, stage),
        "train_dataset": train,
        "eval_dataset": held_out,
        "share_prefixes": table.share_prefixes,
        "save_best": table.keep == "best",
    }
    with user_errors(ValueError, about=f"{stage}.trl"):
        if isinstance(table, SftTable):
            return StepSFTTrainer(
                trajectories=[str(ref.trajectory) for ref in sft_targets(table, inputs.data)],
                steps_per_trajectory=table.steps_per_trajectory,
                **shared,
            )
        tasks = inputs.tasks if stage == "rlvr" else None
        rewards = verified_rewards(tasks) if tasks else inputs.rewards
        names = list(rewards.functions)
        return SRLTrainer(
            chat=context.chat,
            rewards=rewards,
            sampling=DynamicSampling(**table.sampling.model_dump(), seed=recipe.seed),
            trajectories=None if tasks else [str(ref.trajectory) for ref in inputs.data.train],
            format_error=tasks.format_error if tasks else context.validator.format_error,
            on_groups=lambda step, groups: run.append(
                run.samples, (group_line(stage, step, group, names) for group in groups)
            ),
            **shared,
        )


def _choose_checkpoint(
    stage: Stage, trainer: Trainer, start: PolicyState, metric: str, table: StageTable
) -> StageEnd:
    """Choose the best checkpoint by a held-out metric, or the start if none beats it; or simply the last one."""
    state, folder = trainer.state, Path(str(trainer.args.output_dir))
    saved = complete_checkpoints(folder)
    measured = {
        int(row["step"]): row
        for row in state.log_history
        if row["step"] in saved and math.isfinite(row.get(metric, math.nan))
    }
    step, before = state.global_step, start.metrics.get(metric)
    improved = table.keep == "last" or before is None
    if table.keep == "best" and measured:
        step = max(measured, key=lambda step: (measured[step][metric], -step))  # of equal ones the first
        improved = before is None or measured[step][metric] > before
    metrics = {key: number for key, number in measured.get(step, {}).items() if key in SELECTABLE}
    return StageEnd(
        stage=stage,
        checkpoint=str(saved[step]) if improved else None,
        step=step if improved else 0,
        metric=metric,
        metrics=metrics if improved else dict(start.metrics),
        final_checkpoint=str(saved[state.global_step]),
        improved=improved,
        ended_by="plateau" if plateau_reached(state.log_history, metric, table.switch) else "epochs",
    )


def _state_after(
    checkpoint: str | None, metrics: Mapping[str, float], start: PolicyState, recipe: Recipe
) -> PolicyState:
    if checkpoint is None:
        return PolicyState(model=start.model, adapter=start.adapter, metrics=metrics)
    if recipe.model.lora is not None:
        return PolicyState(model=start.model, adapter=checkpoint, metrics=metrics)
    return PolicyState(model=checkpoint, metrics=metrics)


def _check_same_model(checkpoint: Path, model: str) -> None:
    """Raise UserError if a checkpoint's weights cannot belong to the model of the recipe."""
    config = checkpoint / "config.json"
    if not config.exists():  # an adapter: peft records its base
        adapter = json.loads((checkpoint / "adapter_config.json").read_text(encoding="utf-8"))
        if adapter.get("base_model_name_or_path") != model:
            raise UserError(
                f"{checkpoint} is an adapter for {adapter.get('base_model_name_or_path')}, the recipe trains {model}"
            )
        return
    wanted, found = AutoConfig.from_pretrained(model), json.loads(config.read_text(encoding="utf-8"))
    for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
        if found.get(key) != getattr(wanted, key, None):
            raise UserError(
                f"{checkpoint} is a checkpoint of another model: its {key} is {found.get(key)}, "
                f"that of {model} is {getattr(wanted, key, None)}"
            )
