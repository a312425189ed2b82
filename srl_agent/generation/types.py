"""Decoding parameters and completions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel

    class CausalLM(PreTrainedModel):
        """A causal language model as type annotations need it: transformers types some methods for its own use only."""

        eval: Callable[[], "CausalLM"]
        generate: Callable[..., torch.Tensor]
        to: Callable[..., "CausalLM"]  # type: ignore[assignment]
        _prepare_generation_config: Callable[..., tuple[GenerationConfig, dict[str, object]]]


class ModelError(ValueError):
    """A model that cannot be found, loaded or asked; the message says which one and what to do."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One sampled completion, exactly as it was generated."""

    # Without special tokens, behind the `<think>` that the prompt ends with, if it ends with one.
    text: str
    finish_reason: str  # "stop", or "length" if it was cut off
    prompt_tokens: int  # 0 if the server does not report it
    completion_tokens: int
    token_ids: tuple[int, ...] | None = None  # with the end token; None if the server does not report them
    logprobs: tuple[float, ...] | None = None  # natural logarithms, one per token


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Decoding parameters. Nothing else applies: what a model's own ``generation_config`` asks for is not obeyed."""

    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0
    top_k: int = 0  # 0: all tokens
    min_p: float = 0.0  # of the most likely token's probability; 0: all tokens
    repetition_penalty: float = 1.0
    max_tokens: int = 2048  # per completion
    stop: tuple[str, ...] = ()
    seed: int | None = None
