"""One stage of a run: build its trainer, train or resume, say which checkpoint it ends with."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainerState, set_seed
from trl import GRPOConfig, SFTConfig

from harness.cli import UserError
from harness.config import GrpoTable, Recipe, Stage, SwitchTable
from harness.console import Teller
from harness.outcomes import Outcomes
from harness.outcomes.base import VERIFIED, outcome_row, verified_rewards
from harness.run_folder import RunFolder
from harness.step_data import StepData, lazy_dataset, reward_columns
from harness.validation import Validator
from srl_agent.formats import Message, UnrepresentableActionError
from srl_agent.formats.math_step import solution_prompt, solution_text
from srl_agent.models import load_policy
from srl_agent.rewards import WeightedRewards
from srl_agent.steps import StepRef
from srl_agent.training.checkpoints import latest_checkpoint, remove_partial_checkpoints
from srl_agent.training.sampling import Group, SamplingSettings, population_std
from srl_agent.training.sft import StepSFTTrainer
from srl_agent.training.srl import SRLTrainer, check_together

# What a run needs whatever the recipe says of TRL's settings; a recipe that sets one of these itself wins.
_DEFAULTS: dict[str, Any] = {
    "logging_steps": 1,
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "save_total_limit": 2,
    "report_to": "none",
    "disable_tqdm": True,
    "bf16": False,
    "gradient_checkpointing": False,
}
_GRPO_DEFAULTS: dict[str, Any] = {"loss_type": "grpo", "beta": 0.0, "temperature": 1.0}
_SELECTABLE = frozenset({"eval_step_reward", "eval_accuracy"})  # metrics that a checkpoint can be chosen by
WHOLE = -1  # in the place of a step: the whole solution
# What we set ourselves; a recipe cannot.
_OURS = frozenset(
    {"output_dir", "seed", "remove_unused_columns", "metric_for_best_model", "greater_is_better",
     "load_best_model_at_end", "reward_weights", "dataset_kwargs", "max_length", "packing", "padding_free"}
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """Weights that a stage starts from or ends with."""

    model: str  # what transformers loads
    adapter: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # held out, as far as they were measured


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What all stages of a run share."""

    recipe: Recipe
    data: StepData
    rewards: WeightedRewards
    validator: Validator
    outcomes: Outcomes | None
    tokenizer: Any
    run: RunFolder
    teller: Teller


def run_stage(stage: Stage, start: PolicyState, context: StageContext) -> PolicyState:
    """Train a stage, or finish it if it was interrupted; returns its best weights. Raises UserError."""
    run, recipe = context.run, context.recipe
    folder = run.stage_dir(stage)
    if run.best(stage).exists():
        best = json.loads(run.best(stage).read_text(encoding="utf-8"))
        context.teller.say(f"{stage}: finished before, best checkpoint {best['checkpoint']}")
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
    trainer.add_callback(_RunCallback(stage, context))
    switch: SwitchTable = getattr(recipe, stage).switch
    metric = f"eval_{recipe.metric_of(stage)}"
    trainer.add_callback(_SwitchCallback(switch, metric))
    if checkpoint and plateau_reached(
        _log_history(checkpoint), metric, switch
    ):  # killed before it was written down
        trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
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


def plateau_reached(history: Sequence[Mapping[str, Any]], metric: str, switch: SwitchTable) -> bool:
    """Whether the last ``patience`` evaluations brought no new best value of the metric.

    >>> history = [{"eval_accuracy": value} for value in (0.1, 0.3, 0.3, 0.2)]
    >>> plateau_reached(history, "eval_accuracy", SwitchTable(rule="plateau", patience=2))
    True
    """
    if switch.rule != "plateau":
        return False
    best, since = -math.inf, 0
    for value in (row[metric] for row in history if metric in row):
        best, since = (value, 0) if value > best + switch.min_delta else (best, since + 1)
    return since >= switch.patience


def _log_history(checkpoint: Path) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = json.loads(
        (checkpoint / "trainer_state.json").read_text(encoding="utf-8")
    )["log_history"]
    return history


def stage_arguments(stage: Stage, recipe: Recipe, folder: Path) -> Any:
    """TRL's configuration of a stage. Raises UserError for settings it refuses."""
    config = SFTConfig if stage == "sft" else GRPOConfig
    table: dict[str, Any] = getattr(recipe, stage).trl
    if ours := sorted(_OURS & table.keys()):
        raise UserError(
            f"{stage}.trl.{ours[0]} is set by the harness: remove it from the recipe", exit_code=2
        )
    settings = {**_DEFAULTS, **({} if stage == "sft" else _GRPO_DEFAULTS), **table}
    # Left to itself transformers refuses bf16 on a machine without an accelerator instead of computing it there.
    settings.setdefault("use_cpu", not torch.accelerator.is_available())
    settings.setdefault("save_steps", settings.get("eval_steps", 50))
    settings.setdefault("eval_steps", settings["save_steps"])
    if settings["save_strategy"] == "steps" and settings["save_total_limit"] == 1:
        raise UserError(f"{stage}.trl.save_total_limit: keep at least 2, the best and the last", exit_code=2)
    if stage == "sft":
        settings |= {"max_length": None}
    try:
        args = config(
            output_dir=str(folder),
            seed=recipe.seed,
            remove_unused_columns=False,
            metric_for_best_model=f"eval_{recipe.metric_of(stage)}",
            greater_is_better=True,
            **settings,
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"{stage}.trl: {error}", exit_code=2) from error
    if stage != "sft":
        grpo: GrpoTable = getattr(recipe, stage)
        try:
            check_together(grpo.sampling.steps_per_trajectory, args)
        except ValueError as error:
            raise UserError(f"{stage}.sampling: {error}", exit_code=2) from error
    return args


def _make_trainer(stage: Stage, start: PolicyState, context: StageContext) -> Any:
    recipe = context.recipe
    args = stage_arguments(stage, recipe, context.run.stage_dir(stage))
    set_seed(recipe.seed)  # a new adapter is drawn at random
    lora = recipe.model.lora.model_dump() if recipe.model.lora else None
    model = load_policy(
        start.model, dtype=recipe.model.dtype, lora=lora, adapter=start.adapter, **recipe.model.options
    )
    train, held_out = _datasets(stage, context)
    shared: dict[str, Any] = {
        "model": model,
        "args": args,
        "processing_class": context.tokenizer,
        "validate": lambda trainer: context.validator(trainer, stage),
        "train_dataset": train,
        "eval_dataset": held_out,
    }
    try:
        if stage == "sft":
            return StepSFTTrainer(**shared)
        verified = context.outcomes if stage == "rlvr" else None
        table: GrpoTable = getattr(recipe, stage)
        return SRLTrainer(
            rewards=verified_rewards(verified) if verified else context.rewards,
            sampling=SamplingSettings(**table.sampling.model_dump(), seed=recipe.seed),
            trajectories=None if verified else [str(ref.trajectory) for ref in context.data.train],
            share_prefixes=table.share_prefixes,
            format_error=verified.malformed if verified else context.validator.format_error,
            on_groups=lambda step, groups: _write_groups(stage, context, step, groups),
            **shared,
        )
    except ValueError as error:
        raise UserError(f"{stage}.trl: {error}") from error


def _datasets(stage: Stage, context: StageContext) -> tuple[Any, Any]:
    """Training and held-out rows; the latter are there for the trainer, our own validation measures."""
    data = context.data
    if stage == "rlvr":
        outcomes = context.outcomes
        assert outcomes is not None  # the recipe is checked for it
        rows = [
            lazy_dataset(side, lambda name: outcome_row(outcomes, name))
            for side in (outcomes.train, outcomes.validation)
        ]
        return rows[0], rows[1]
    render = _sft_row if stage == "sft" else _srl_row
    train = data.train
    if stage == "sft":
        targets = context.recipe.sft.targets
        whole = [StepRef(trajectory=position, step=WHOLE) for position in data.train_trajectories]
        train = (*(data.train if "steps" in targets else ()), *(whole if "solutions" in targets else ()))
    return (
        lazy_dataset(train, lambda ref: render(ref, context)),
        lazy_dataset(data.validation, lambda ref: render(ref, context)),
    )


def _srl_row(ref: StepRef, context: StageContext) -> dict[str, Any]:
    example = context.data.example(ref)
    return {"prompt": example.prompt, **reward_columns(example)}


def _sft_row(ref: StepRef, context: StageContext) -> dict[str, Any]:
    """Prompt as in SRL, then thought and action; or a whole solution. The loss is over what follows the prompt."""
    prompt, text = _whole_solution(ref, context) if ref.step == WHOLE else _step_target(ref, context)
    tokenizer = context.tokenizer
    rendered = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=True)
    target = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    prompt_ids = list(rendered["input_ids"])
    return {"input_ids": prompt_ids + target, "labels": [-100] * len(prompt_ids) + target}


def _step_target(ref: StepRef, context: StageContext) -> tuple[list[Message], str]:
    example, settings = context.data.example(ref), context.recipe.sft
    filled = replace(example.expert, thought=settings.filler)
    use_expert = settings.thought == "expert" and example.expert.thought.strip()
    try:
        return example.prompt, context.data.action_format.render(example.expert if use_expert else filled)
    except UnrepresentableActionError:  # the thought itself holds a <think> tag
        return example.prompt, context.data.action_format.render(filled)


def _whole_solution(ref: StepRef, context: StageContext) -> tuple[list[Message], str]:
    trajectory = context.data.trajectory(ref.trajectory)
    return solution_prompt(trajectory.task), solution_text(trajectory.steps)


def _write_groups(stage: str, context: StageContext, step: int, groups: Sequence[Group]) -> None:
    names = [VERIFIED] if stage == "rlvr" else list(context.rewards.functions)
    context.run.append(context.run.samples, (_group_row(stage, step, group, names) for group in groups))


def _group_row(stage: str, step: int, group: Group, names: Sequence[str]) -> dict[str, Any]:
    rewards = [sample.reward for sample in group.samples]
    judged = [reward for reward in rewards if reward is not None]
    return {
        "stage": stage,
        "step": step,
        "round": group.round,
        **{key: group.row[key] for key in ("trajectory_id", "step_index", "kind", "expert_action")},
        "completions": [
            {
                "text": sample.text,
                "rewards": dict(zip(names, sample.parts, strict=True)),
                "reward": sample.reward,
                "format_error": sample.format_error,
            }
            for sample in group.samples
        ],
        "reward_mean": sum(judged) / len(judged) if judged else None,
        "reward_std": population_std(rewards),
        "kept": group.dropped is None,
        "reason": group.dropped,
    }


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
    metrics = {key: number for key, number in measured.items() if key in _SELECTABLE}
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


class _SwitchCallback(TrainerCallback):
    """Ends a stage early by its switch rule."""

    def __init__(self, switch: SwitchTable, metric: str) -> None:
        self._switch = switch
        self._metric = metric

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if plateau_reached(state.log_history, self._metric, self._switch):
            control.should_training_stop = True


class _RunCallback(TrainerCallback):
    """Metrics to metrics.jsonl, a line a step to the person, a validation at the end of the stage."""

    def __init__(self, stage: str, context: StageContext) -> None:
        self._stage = stage
        self._context = context
        self._started = time.monotonic()
        self._first_step = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._started, self._first_step = time.monotonic(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= state.max_steps:
            control.should_evaluate = True

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        kind = "validation" if _SELECTABLE & logs.keys() else "train"
        row = {"stage": self._stage, "step": state.global_step, "time": time.time(), "kind": kind}
        self._context.run.append(self._context.run.metrics, [{**row, **_finite(logs)}])
        self._context.teller.say(
            f"{self._stage} {state.global_step}/{state.max_steps}  " + self._line(logs, state)
        )

    def _line(self, logs: Mapping[str, Any], state: Any) -> str:
        shown = {
            "eval_step_reward": "held-out reward",
            "eval_format_rate": "format",
            "eval_accuracy": "accuracy",
            "loss": "loss",
            "reward": "reward",
            "sampling/kept_fraction": "kept",
            "sampling/format_failure_rate": "bad format",
        }
        parts = [f"{label} {logs[key]:.3f}" for key, label in shown.items() if logs.get(key) is not None]
        done = state.global_step - self._first_step
        if done and not _SELECTABLE & logs.keys():
            left = (time.monotonic() - self._started) / done * (state.max_steps - state.global_step)
            parts.append(f"about {math.ceil(left / 6) / 10:.1f} min left")
        return "  ".join(parts)


def _finite(logs: Mapping[str, Any]) -> dict[str, Any]:
    """JSON has no NaN: such values become null."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in logs.items()
    }
