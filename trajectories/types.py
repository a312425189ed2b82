"""The record of what an agent did, turn by turn. Expert trajectories and policy rollouts are one type."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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

    thought: str  # prose before the calls; never compared with anything
    actions: tuple[Action, ...]  # parallel calls in order; empty: prose only, or a call that was refused
    observation: str  # results of all calls of the turn, in order
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
        return named if isinstance(named, str) and named else repository_of(self.instance_id)


_INSTANCE_ID = re.compile(r"^(?P<owner>[^/]+?)__(?P<name>.+?)(?:-\d+|\.[0-9a-f]{8}(?:\..*)?)?$")


def repository_of(instance_id: str) -> str:
    """Return the repository of a SWE-bench or SWE-smith instance id, any other id as it is.

    >>> repository_of("django__django-16527"), repository_of("acme__widgets.1a2b3c4d.func_pm__ab12")
    ('django/django', 'acme/widgets')
    """
    match = _INSTANCE_ID.match(instance_id)
    return f"{match['owner']}/{match['name']}" if match else instance_id
