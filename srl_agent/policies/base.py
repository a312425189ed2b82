"""The policy protocol: one method, however the model is served."""

from collections.abc import Sequence
from typing import Protocol

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling


class PolicyError(Exception):
    """The model gives no completion: the server is down, too slow, or sends invalid answers, and retries failed.

    The message says which server, what happened, and what to do.
    """


class ContextOverflowError(PolicyError):
    """The prompt and the requested completion do not fit into the model's context; a retry would not help."""


class Policy(Protocol):
    """A model that answers chat messages. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """The name in predictions (``model_name_or_path``)."""

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Return ``n`` completions of a prompt. Raises PolicyError."""
