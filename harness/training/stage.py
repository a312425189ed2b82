"""One stage of a run: build its trainer, train or resume, say which checkpoint it ends with."""

import gc
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerState, set_seed

from harness.cli import UserError
from harness.config.stages import CONTROL, Stage
from harness.config.tables import Recipe, SwitchTable
from harness.training.callbacks import RunCallback, SwitchCallback, plateau_reached
from harness.training.context import SELECTABLE, PolicyState, StageContext
from harness.training.control import control_updates
from harness.training.outcomes.base import verified_rewards
from harness.training.rows import sft_targets, stage_datasets, write_groups
from harness.training.trl_args import stage_arguments
from srl_agent.models.load import load_policy
from srl_agent.training.dynamic_sampling import DynamicSampling, NoSpreadError
from srl_agent.training.memory import return_free_memory
from srl_agent.training.sft import StepSFTTrainer
from srl_agent.training.srl import SRLTrainer
from srl_agent.training.trainer_mixin import latest_checkpoint, remove_partial_checkpoints


def run_stage(stage: Stage, start: PolicyState, context: StageContext) -> PolicyState:
    """Train a stage, or finish it if it was interrupted; returns its best weights. Raises UserError."""
    _collect_garbage()
    return _train_stage(stage, start, context)


def _collect_garbage() -> None:
    """Free the models of before: models and trainers refer to themselves, so they outlive their last use."""
    gc.collect()
    return_free_memory()


def _train_stage(stage: Stage, start: PolicyState, context: StageContext) -> PolicyState:
    run, recipe = context.run, context.recipe
    folder = run.stage_dir(stage)
    if best := run.ended_with(stage):
        kept = (
            f"best checkpoint {best['checkpoint']}"
            if best["checkpoint"]
            else "no checkpoint better than its start"
        )
        context.teller.say(f"{stage}: finished before, {kept}")
        return _state_of(best, start, recipe)
    if run.writes:
        for path in remove_partial_checkpoints(folder):
            context.teller.say(f"{stage}: {path.name} was cut off while it was written: removed")
    checkpoint = latest_checkpoint(folder)
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    run.forget_after(stage, step if checkpoint else -1)
    if checkpoint:
        _check_same_model(checkpoint, start.model)
        context.teller.say(f"{stage}: resuming at step {step} from {checkpoint}")
    trainer = _make_trainer(stage, start, context)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(RunCallback(stage, context))
    switch: SwitchTable = getattr(recipe, stage).switch
    metric = f"eval_{recipe.metric_of(stage)}"
    trainer.add_callback(SwitchCallback(switch, metric))
    if checkpoint and plateau_reached(
        _log_history(checkpoint), metric, switch
    ):  # killed before it was written down
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except NoSpreadError as error:
            raise UserError(f"{stage}: {error}") from error
    best = _choose_best(stage, trainer, start, metric, keep=getattr(recipe, stage).keep)
    best["ended_by"] = "plateau" if plateau_reached(trainer.state.log_history, metric, switch) else "epochs"
    context.teller.say(
        f"{stage}: ends after {trainer.state.global_step} updates ({best['ended_by']}), with "
        + (f"step {best['step']}" if best["improved"] else "the weights that it started from")
        + f" by {recipe.metric_of(stage)}"
    )
    run.write_json(run.best(stage), best)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.free_memory()
    return _state_of(best, start, recipe)


def _log_history(checkpoint: Path) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = json.loads(
        (checkpoint / "trainer_state.json").read_text(encoding="utf-8")
    )["log_history"]
    return history


def _make_trainer(stage: Stage, start: PolicyState, context: StageContext) -> Any:
    recipe = context.recipe
    updates = control_updates(context.run.metrics) if stage == CONTROL else None
    if updates is not None:
        context.teller.say(f"{stage}: {updates} updates of SFT take about the time that RL took")
    args = stage_arguments(stage, recipe, context.run.stage_dir(stage), updates=updates)
    set_seed(recipe.seed)  # a new adapter is drawn at random
    lora = recipe.model.lora.model_dump() if recipe.model.lora else None
    model = load_policy(
        start.model, dtype=recipe.model.dtype, lora=lora, adapter=start.adapter, **recipe.model.options
    )
    train, held_out = stage_datasets(stage, context)
    table: Any = getattr(recipe, stage)
    shared: dict[str, Any] = {
        "model": model,
        "args": args,
        "processing_class": context.tokenizer,
        "validate": lambda trainer: context.validator(trainer, stage),
        "train_dataset": train,
        "eval_dataset": held_out,
        "share_prefixes": table.share_prefixes,
        "tokens_per_call": table.tokens_per_call,
    }
    try:
        if stage in ("sft", CONTROL):
            return StepSFTTrainer(
                trajectories=[str(ref.trajectory) for ref in sft_targets(table, context)],
                steps_per_trajectory=table.steps_per_trajectory,
                **shared,
            )
        verified = context.outcomes if stage == "rlvr" else None
        return SRLTrainer(
            rewards=verified_rewards(verified) if verified else context.rewards,
            sampling=DynamicSampling(**table.sampling.model_dump(), seed=recipe.seed),
            trajectories=None if verified else [str(ref.trajectory) for ref in context.data.train],
            format_error=verified.malformed if verified else context.validator.format_error,
            on_groups=lambda step, groups: write_groups(stage, context, step, groups),
            **shared,
        )
    except ValueError as error:
        raise UserError(f"{stage}.trl: {error}") from error


def _choose_best(stage: str, trainer: Any, start: PolicyState, metric: str, *, keep: str) -> dict[str, Any]:
    """The best checkpoint by a held-out metric, the start itself where none beats it; or simply the last one."""
    state = trainer.state
    final = Path(trainer.args.output_dir) / f"checkpoint-{state.global_step}"
    step, value = state.best_global_step or state.global_step, state.best_metric
    chosen = Path(trainer.args.output_dir) / f"checkpoint-{step}"
    if keep == "last" or not chosen.is_dir():
        chosen, step = final, state.global_step
    before = start.metrics.get(metric)
    improved = keep == "last" or before is None or value is None or value > before
    measured: Mapping[str, Any] = next(
        (row for row in reversed(state.log_history) if row.get("step") == step and metric in row), {}
    )
    metrics = {key: number for key, number in measured.items() if key in SELECTABLE}
    return {
        "stage": stage,
        "checkpoint": str(chosen) if improved else None,
        "step": step if improved else 0,
        "metric": metric,
        "metrics": metrics if improved else dict(start.metrics),
        "final_checkpoint": str(final),
        "improved": improved,
    }


def _state_of(best: Mapping[str, Any], start: PolicyState, recipe: Recipe) -> PolicyState:
    metrics, checkpoint = best["metrics"], best["checkpoint"]
    if checkpoint is None:
        return PolicyState(model=start.model, adapter=start.adapter, metrics=metrics)
    if recipe.model.lora is not None:
        return PolicyState(model=start.model, adapter=checkpoint, metrics=metrics)
    return PolicyState(model=checkpoint, metrics=metrics)


def _check_same_model(checkpoint: Path, model: str) -> None:
    """Raises UserError if a checkpoint's weights cannot belong to the model of the recipe."""
    config = checkpoint / "config.json"
    if not config.exists():  # an adapter: peft records its base
        adapter = json.loads((checkpoint / "adapter_config.json").read_text(encoding="utf-8"))
        if adapter.get("base_model_name_or_path") != model:
            raise UserError(
                f"{checkpoint} is an adapter for {adapter.get('base_model_name_or_path')}, the recipe trains {model}"
            )
        return
    from transformers import AutoConfig

    wanted, found = AutoConfig.from_pretrained(model), json.loads(config.read_text(encoding="utf-8"))
    for key in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size"):
        if found.get(key) != getattr(wanted, key, None):
            raise UserError(
                f"{checkpoint} is a checkpoint of another model: its {key} is {found.get(key)}, "
                f"that of {model} is {getattr(wanted, key, None)}"
            )
