"""TRL's configuration of each stage, from the recipe."""

from collections.abc import Callable
from pathlib import Path

import torch
from transformers import TrainingArguments
from trl import SFTConfig

from harness.cli import UsageError, user_errors
from harness.config.stages import CONTROL, Stage
from harness.config.tables import GrpoTable, Recipe
from harness.run_folder import RunFolder
from harness.training.sampling import trl_sampling
from harness.training.trl_tables import check_trl_tables, trl_config, trl_table
from srl_agent.training.batches import check_boundaries, check_together

# Defaults of ours for TRL's settings; a recipe may set them otherwise.
_DEFAULTS: dict[str, object] = {
    "logging_steps": 1,
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "save_total_limit": 2,
    "report_to": "none",
    "disable_tqdm": True,
    "bf16": False,
    "gradient_checkpointing": False,
}
_GRPO_DEFAULTS: dict[str, object] = {"loss_type": "grpo", "beta": 0.0}
# Settings that a recipe cannot change.
_OURS = frozenset(
    {"output_dir", "seed", "remove_unused_columns", "metric_for_best_model", "greater_is_better",
     "load_best_model_at_end", "reward_weights", "dataset_kwargs", "max_length", "packing", "padding_free",
     "chat_template_path", "eos_token", "pad_token"}
)  # fmt: skip
# Settings whose state is not in a checkpoint, or that make one without an optimizer.
_NOT_RESUMABLE = frozenset(
    {"save_only_model", "ignore_data_skip", "eval_on_start", "sync_ref_model", "use_adaptive_entropy"}
)


def check_arguments(recipe: Recipe, folder: RunFolder) -> None:
    """Raise UserError for settings that a stage would refuse when its turn comes, hours later."""
    check_trl_tables(recipe)
    for stage in recipe.stages:
        stage_arguments(stage, recipe, folder.stage_dir(stage))


def stage_arguments(
    stage: Stage, recipe: Recipe, folder: Path, *, updates: int | None = None
) -> TrainingArguments:
    """Return TRL's configuration of a stage. Raises UserError for settings that TRL refuses.

    ``updates``: the number that sft_control makes, which is known when its turn comes.
    """
    config: Callable[..., TrainingArguments] = trl_config(stage)
    supervised = config is SFTConfig
    table = trl_table(recipe, stage)
    if ours := sorted(_OURS & table.keys()):
        raise UsageError(f"{stage}.trl.{ours[0]} is set by the harness: remove it from the recipe")
    settings = {**_DEFAULTS, **({} if supervised else _GRPO_DEFAULTS), **table}
    if not supervised:
        settings |= trl_sampling(recipe, stage)
    # Left to itself transformers refuses bf16 on a machine without an accelerator instead of computing it there.
    settings.setdefault("use_cpu", not torch.accelerator.is_available())
    settings.setdefault("save_steps", settings.get("eval_steps", 50))
    settings.setdefault("eval_steps", settings["save_steps"])
    if settings["save_total_limit"] == 1:
        raise UsageError(f"{stage}.trl.save_total_limit: keep at least 2, the best and the last")
    for key in sorted(_NOT_RESUMABLE & settings.keys()):
        if settings[key]:
            raise UsageError(f"{stage}.trl.{key}: such a run could not be resumed exactly; remove it")
    if supervised:
        settings |= {"max_length": None}
    else:  # TRL evaluates nothing here, and yet refuses a batch of evaluation that holds no whole group
        settings.setdefault("per_device_eval_batch_size", settings.get("num_generations") or 8)
    if stage == CONTROL:
        settings |= {"max_steps": updates or 1}
    with user_errors(ValueError, TypeError, about=f"{stage}.trl", usage=True):
        args = config(
            output_dir=str(folder),
            seed=recipe.seed + (stage == CONTROL),  # the same steps in another order than sft had them
            remove_unused_columns=False,
            metric_for_best_model=f"eval_{recipe.metric_of(stage)}",
            greater_is_better=True,
            **settings,
        )
    if not supervised:
        grpo: GrpoTable = getattr(recipe, stage)
        with user_errors(ValueError, about=f"{stage}.trl", usage=True):
            check_boundaries(args)
        with user_errors(ValueError, about=f"{stage}.sampling", usage=True):
            check_together(grpo.sampling.steps_per_trajectory, args)
        with user_errors(ValueError, about=f"{stage}.trl", usage=True):
            check_boundaries(args)
    return args
