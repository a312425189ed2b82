"""What a sampler takes and makes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Exactly what the sampler made."""

    text: str  # special tokens left out
    finish_reason: str  # "stop", or "length" if it was cut off
    prompt_tokens: int  # tokens of its prompt; 0 where the server does not say
    completion_tokens: int
    token_ids: tuple[int, ...] | None = None  # end token included; None where the server does not give them
    logprobs: tuple[float, ...] | None = None  # natural logarithms, one a token


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample."""

    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0
    max_tokens: int = 2048  # of one completion
    stop: tuple[str, ...] = ()
    seed: int | None = None
