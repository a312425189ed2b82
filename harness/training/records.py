"""The lines that training writes: samples.jsonl, validation.jsonl, outcomes.jsonl, baselines.jsonl.

A line about a step names its trajectory, its index and the expert's action; a line about a verified task names the
task and its right answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from srl_agent.training.dynamic_sampling import Group, population_std
from trajectories.types import JSON

STEP_COLUMNS = ("trajectory_id", "step_index", "kind", "expert_action")  # of a training row of steps
TASK_COLUMNS = ("task_id", "reference")  # of a training row of rlvr


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """A completion of a held-out step: a line of validation.jsonl."""

    stage: str
    step: int  # updates done in the stage
    trajectory_id: str
    step_index: int
    kind: str
    expert_action: str
    completion: str
    clipped: bool  # cut at the longest length allowed
    rewards: Mapping[str, float | None]
    reward: float | None  # weighted sum; None: not scored
    format_error: str | None
    exact_match: bool
    sample: int  # of several completions of the step
    extra: Mapping[str, JSON]  # what rewards logged by ``log_extra``

    @property
    def key(self) -> tuple[str, int, int]:
        return self.trajectory_id, self.step_index, self.sample


@dataclass(frozen=True, kw_only=True)
class AnswerLine:
    """An answer to a held-out task: a line of outcomes.jsonl."""

    stage: str
    step: int  # updates done in the stage
    task_id: str
    reference: str
    completion: str
    clipped: bool
    reward: float | None  # None: not verified
    format_error: str | None
    solved: bool | None
    reason: str
    answer: str  # the part of the completion that was verified
    detail: str

    @property
    def key(self) -> tuple[str]:
        return (self.task_id,)


def group_line(stage: str, step: int, group: Group, rewards: Sequence[str]) -> dict[str, object]:
    """Return a line of samples.jsonl; ``rewards`` names the reward functions."""
    columns = TASK_COLUMNS if stage == "rlvr" else STEP_COLUMNS
    totals = [sample.reward for sample in group.samples]
    scored = [reward for reward in totals if reward is not None]
    return {
        "stage": stage,
        "step": step,
        "round": group.round,
        **{key: group.row[key] for key in columns},
        "completions": [
            {
                "text": sample.text,
                "rewards": dict(zip(rewards, sample.parts, strict=True)),
                "reward": sample.reward,
                "format_error": sample.format_error,
                "clipped": sample.clipped,
                "extra": sample.extra,
            }
            for sample in group.samples
        ],
        "reward_mean": sum(scored) / len(scored) if scored else None,
        "reward_std": population_std(totals),
        "kept": group.dropped is None,
        "reason": group.dropped,
    }


@dataclass(frozen=True, kw_only=True)
class BaselineLine:
    """An action of a trivial policy at a held-out step: a line of baselines.jsonl."""

    policy: str
    trajectory_id: str
    step_index: int
    kind: str
    action: str
    rewards: Mapping[str, float | None]
    reward: float | None


@dataclass(frozen=True, kw_only=True)
class StageEnd:
    """The weights that a stage ended with: best.json. It is written last: a stage without it is not finished."""

    stage: str
    checkpoint: str | None  # None: the weights that the stage started from
    step: int
    metric: str  # that chose it
    metrics: Mapping[str, float]
    final_checkpoint: str
    improved: bool
    ended_by: str  # plateau or epochs
