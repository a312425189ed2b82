"""How many tokens a model was made for, by its configuration."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from trajectories.types import JSON

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class ContextError(ValueError):
    """Rows that are longer than the model's context; the message says which, and what to do."""


def context_length(config: "PreTrainedConfig") -> int | None:
    """Return how many tokens a model was made for, None if its configuration does not say.

    Where positions are scaled by YaRN or dynamic scaling, the factor counts, as it does in vLLM.
    """
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    if not isinstance(length, int):
        return None
    return max([length, *(_scaled(table, length) for table in rope_tables(text))])


def rope_tables(config: "PreTrainedConfig") -> list[Mapping[str, JSON]]:
    """Return the parameters of rotary positions: one table, or one for each type of layer."""
    table: Mapping[str, JSON] = getattr(config, "rope_parameters", None) or {}
    parts: list[Mapping[str, JSON]] = [part for part in table.values() if isinstance(part, dict)]
    return parts or [table]


def check_context(lengths: Sequence[int], config: "PreTrainedConfig", what: str) -> None:
    """Raise ContextError if a row, given by its number of tokens, is longer than the model's context.

    ``what``: the rows in words, for the message.
    """
    context = context_length(config)
    if context is None or max(lengths, default=0) <= context:
        return
    beyond = sum(length > context for length in lengths)
    raise ContextError(
        f"{beyond} of {len(lengths)} {what} are longer than the model's context of {context} tokens (the longest has "
        f"{max(lengths)}): it was not made for the positions beyond; lower steps.max_prompt_chars, "
        "steps.max_observation_chars, steps.context_window or the limit of completions, leave out long tasks, or take "
        "a model with a longer context"
    )


def _scaled(table: Mapping[str, JSON], length: int) -> int:
    factor = table.get("factor")
    if not isinstance(factor, int | float):
        return 0
    if table.get("rope_type") == "dynamic":
        return int(length * factor)
    original = table.get("original_max_position_embeddings")
    return int(original * factor) if table.get("rope_type") == "yarn" and isinstance(original, int) else 0
