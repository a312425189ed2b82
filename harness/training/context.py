"""State that the parts of a stage share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from harness.console import Console
from harness.run_folder import RunFolder
from harness.training.inputs import Inputs
from harness.training.validation import Validator
from srl_agent.generation.chat import Chat

SELECTABLE = frozenset({"eval_step_reward", "eval_accuracy"})  # metrics that can choose a checkpoint


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """Weights that a stage starts from or ends with."""

    model: str  # what transformers loads
    adapter: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # on held-out data, those that were measured


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """State that all stages of a run share."""

    inputs: Inputs
    validator: Validator
    chat: Chat
    run: RunFolder
    console: Console

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.chat.tokenizer
