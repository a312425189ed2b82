"""Prompts and sampling as a recipe sets them, in one place for training, validation and profiles."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trl import GRPOConfig

from harness.config.stages import Stage
from harness.config.tables import GenerationTable, Recipe
from harness.training.trl_tables import trl_table
from srl_agent.generation.chat import Chat
from srl_agent.generation.types import Sampling
from srl_agent.models.load import load_chat

GRPO_TEMPERATURE = 1.0  # of srl and rlvr, unless their table trl says otherwise


def recipe_chat(recipe: Recipe, path: str) -> Chat:
    """Return the chat template of a model with the recipe's settings. Raises ModelError."""
    table = recipe.model
    return load_chat(path, template_kwargs=table.chat_template_kwargs, today=table.template_date)


def recipe_sampling(recipe: Recipe) -> Sampling:
    """Return greedy sampling with the filters and penalties of the recipe's model."""
    return Sampling(**recipe.model.generation.model_dump())


def stage_sampling(recipe: Recipe, stage: Stage) -> Sampling:
    """Return how srl or rlvr samples: as the recipe's model, where the stage's table ``trl`` does not say otherwise.

    Raises UserError.
    """
    table: Mapping[str, Any] = trl_table(recipe, stage)
    longest = GRPOConfig.__dataclass_fields__["max_completion_length"].default
    changes: dict[str, Any] = {
        "temperature": table.get("temperature", GRPO_TEMPERATURE),
        "max_tokens": table.get("max_completion_length") or longest,
    }
    for key in GenerationTable.model_fields:
        if key in table:
            changes[key] = table[key] or 0  # TRL writes None for no min_p
    return replace(recipe_sampling(recipe), **changes)


def trl_sampling(recipe: Recipe, stage: Stage) -> dict[str, object]:
    """Return :func:`stage_sampling` by the names of TRL's settings. Raises UserError."""
    sampling = stage_sampling(recipe, stage)
    filters = {key: getattr(sampling, key) for key in GenerationTable.model_fields}
    return {
        **filters,
        "min_p": sampling.min_p or None,
        "temperature": sampling.temperature,
        "max_completion_length": sampling.max_tokens,
    }
