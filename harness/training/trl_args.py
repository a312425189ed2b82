"""TRL's settings of a stage."""

from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig

from harness.cli import UserError
from harness.config.stages import CONTROL, Stage
from harness.config.tables import GrpoTable, Recipe
from harness.training.trl_tables import trl_config, trl_table
from srl_agent.training.batches import check_together

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
# What we set ourselves; a recipe cannot.
_OURS = frozenset(
    {"output_dir", "seed", "remove_unused_columns", "metric_for_best_model", "greater_is_better",
     "load_best_model_at_end", "reward_weights", "dataset_kwargs", "max_length", "packing", "padding_free"}
)  # fmt: skip


def stage_arguments(stage: Stage, recipe: Recipe, folder: Path, *, updates: int | None = None) -> Any:
    """TRL's configuration of a stage. Raises UserError for settings it refuses.

    ``updates``: how many sft_control makes.
    """
    config = trl_config(stage)
    supervised = config is SFTConfig
    table = trl_table(recipe, stage)
    if ours := sorted(_OURS & table.keys()):
        raise UserError(
            f"{stage}.trl.{ours[0]} is set by the harness: remove it from the recipe", exit_code=2
        )
    settings = {**_DEFAULTS, **({} if supervised else _GRPO_DEFAULTS), **table}
    # Left to itself transformers refuses bf16 on a machine without an accelerator instead of computing it there.
    settings.setdefault("use_cpu", not torch.accelerator.is_available())
    settings.setdefault("save_steps", settings.get("eval_steps", 50))
    settings.setdefault("eval_steps", settings["save_steps"])
    if settings["save_strategy"] == "steps" and settings["save_total_limit"] == 1:
        raise UserError(f"{stage}.trl.save_total_limit: keep at least 2, the best and the last", exit_code=2)
    if supervised:
        settings |= {"max_length": None}
    else:  # TRL evaluates nothing here, and yet refuses a batch of evaluation that holds no whole group
        settings.setdefault("per_device_eval_batch_size", settings.get("num_generations") or 8)
    if stage == CONTROL:
        settings |= {"max_steps": updates or 1}
    try:
        args = config(
            output_dir=str(folder),
            seed=recipe.seed + (stage == CONTROL),  # the same steps in another order than sft had them
            remove_unused_columns=False,
            metric_for_best_model=f"eval_{recipe.metric_of(stage)}",
            greater_is_better=True,
            **settings,
        )
    except (ValueError, TypeError) as error:
        raise UserError(f"{stage}.trl: {error}", exit_code=2) from error
    if not supervised:
        grpo: GrpoTable = getattr(recipe, stage)
        try:
            check_together(grpo.sampling.steps_per_trajectory, args)
        except ValueError as error:
            raise UserError(f"{stage}.sampling: {error}", exit_code=2) from error
    return args
