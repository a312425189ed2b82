"""What generates text: one method, whatever serves the model."""

from collections.abc import Sequence
from typing import Protocol

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling


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
