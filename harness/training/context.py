"""What the parts of a stage share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.config.tables import Recipe
from harness.console import Console
from harness.data.step_data import StepData
from harness.run_folder import RunFolder
from harness.training.outcomes import Outcomes
from harness.training.validation import Validator
from srl_agent.rewards import WeightedRewards

SELECTABLE = frozenset({"eval_step_reward", "eval_accuracy"})  # metrics that a checkpoint can be chosen by


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """Weights that a stage starts from or ends with."""

    model: str  # what transformers loads
    adapter: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)  # held out, as far as they were measured


@dataclass(frozen=True, kw_only=True)
class StageContext:
    """What all stages of a run share."""

    recipe: Recipe
    data: StepData
    rewards: WeightedRewards
    validator: Validator
    outcomes: Outcomes | None
    tokenizer: Any
    run: RunFolder
    console: Console
