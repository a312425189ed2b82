"""Lines of an evaluation's files. Of several lines with the same key the last one counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, Self, TypeVar

from harness.cli import user_errors
from harness.jsonl import read_objects
from srl_agent.scaffolds import Rollout, Status
from trajectories import Trajectory
from trajectories.store import from_json, to_json
from trajectories.types import JSON

Failure = Literal["infra_failure", "policy_failure"]
# The one bucket that a sample ends in.
Bucket = Literal["resolved", "unresolved", "empty_patch", "no_answer", "error"] | Failure
# Status of a rollout that a failure ended -> the bucket of its attempt.
FAILURES: Mapping[Status, Failure] = {
    "environment_failure": "infra_failure",
    "policy_failure": "policy_failure",
}


class Key(NamedTuple):
    """The subject of a line: a sample of an instance."""

    instance_id: str
    source: str  # gold, noop, predictions; math: greedy, sampled
    sample: int


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A line about one sample of one item."""

    instance_id: str
    source: str = "predictions"  # lines of earlier releases do not say it where there is no other
    sample: int

    @property
    def key(self) -> Key:
        return Key(self.instance_id, self.source, self.sample)

    def as_row(self) -> dict[str, JSON]:
        return dict(vars(self))

    @classmethod
    def from_row(cls, row: Mapping[str, JSON]) -> Self:
        """Inverse of :meth:`as_row`; other columns are ignored."""
        return cls(**{field.name: row[field.name] for field in fields(cls) if field.name in row})


@dataclass(frozen=True, kw_only=True)
class AttemptRecord(_Line):
    """A line of attempts.jsonl: how an attempt ended. Each domain adds its own columns."""

    bucket: Bucket
    detail: str = ""  # for a person


@dataclass(frozen=True, kw_only=True)
class RolloutRecord(_Line):
    """A line of rollouts.jsonl: what the policy did."""

    model_name_or_path: str = ""
    status: Status
    error: str = ""
    seconds: float
    prompt_tokens: int
    completion_tokens: int
    completions: Sequence[str]
    trajectory: Mapping[str, JSON] | None  # None: a failure came before the first step

    @classmethod
    def of(cls, key: Key, rollout: Rollout, *, model_name: str, seconds: float) -> Self:
        nothing = rollout.status in FAILURES and not rollout.trajectory.steps
        return cls(
            **key._asdict(),
            model_name_or_path=model_name,
            status=rollout.status,
            error=rollout.error or "",
            seconds=round(seconds, 3),
            prompt_tokens=sum(completion.prompt_tokens for completion in rollout.completions),
            completion_tokens=sum(completion.completion_tokens for completion in rollout.completions),
            completions=[completion.text for completion in rollout.completions],
            trajectory=None if nothing else to_json(rollout.trajectory),
        )

    @property
    def finished(self) -> Trajectory | None:
        """The trajectory, unless a failure of the policy or the environment ended it."""
        if self.trajectory is None or self.status in FAILURES:
            return None
        return from_json(self.trajectory)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """A line of predictions.jsonl: a patch for an instance, with SWE-bench's own keys."""

    instance_id: str
    model_name_or_path: str
    model_patch: str
    sample: int = 0  # of several at a task


LineT = TypeVar("LineT", bound=_Line)


def read_records(path: Path, kind: type[LineT]) -> dict[Key, LineT]:
    """Return the last line for each key of a file, none if there is no file. Raises UserError naming file and line."""
    records: dict[Key, LineT] = {}
    for line in read_objects(path):
        with user_errors(TypeError, about=f"{line.where}: not a line of {path.name}"):
            record = kind.from_row(line.fields)
        records[record.key] = record
    return records
