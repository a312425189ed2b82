"""The record of what an agent did, turn by turn. Expert trajectories and policy rollouts are one type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trajectories.task_ids import repository_named, repository_of

JSON = Any  # what json.loads returns
JSONObject = Mapping[str, JSON]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One tool call. A math step is one action too."""

    name: str
    arguments: JSONObject = field(default_factory=dict)  # as the tool received them


@dataclass(frozen=True, kw_only=True)
class Step:
    """One turn of the agent and what came back."""

    # What the model wrote before its calls, or its reasoning where it wrote nothing else. Never compared with anything.
    thought: str
    actions: tuple[Action, ...]  # parallel calls in order; empty: prose only, or a call that was refused
    observation: str  # results of all calls of the turn, in order
    reasoning: str = ""  # the private thinking, where the source recorded it
    target: bool = True  # False: context for later steps, never a training target (trajectories.filters)


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A task and the steps an agent took on it."""

    trajectory_id: str  # unique within a data set
    instance_id: str  # the task's id: several trajectories may share it
    task: str  # what the agent was asked, e.g. the issue text
    steps: tuple[Step, ...]
    source: str  # name of the format it was read from
    model: str | None = None
    resolved: bool | None = None  # None: not verified
    patch: str | None = None  # the final diff
    metadata: JSONObject = field(default_factory=dict)  # what the source said beyond this

    @property
    def repository(self) -> str:
        """Return ``owner/name``: ``metadata["repo"]`` if the source named it, else taken from the instance id."""
        named = self.metadata.get("repo")
        if isinstance(named, str) and named:
            return repository_named(named, self.instance_id)
        return repository_of(self.instance_id)
