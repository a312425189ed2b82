"""What generates text: one method, whatever serves the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from srl_agent.formats import Message


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


class PolicyError(Exception):
    """The model cannot be asked: the server is down, too slow, or answers garbage, and retries did not help.

    The message says which server, what happened, and what to do.
    """


class ContextOverflowError(PolicyError):
    """The prompt and the completion asked for do not fit the model's context: asking again is no use."""


class Policy(Protocol):
    """A model that answers chat messages. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """What predictions are signed with (``model_name_or_path``)."""

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """``n`` completions of a prompt. Raises PolicyError."""
