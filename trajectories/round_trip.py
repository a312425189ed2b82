"""What a foreign format has no field for: it travels under a key of ours, so that the way back is exact."""

from collections.abc import Mapping
from typing import Any

from trajectories.store import to_json
from trajectories.types import Trajectory

KEY = "srl_agent"

_FIELDS = (
    "schema_version",
    "trajectory_id",
    "instance_id",
    "source",
    "model",
    "resolved",
    "patch",
    "metadata",
)


def carried(trajectory: Trajectory) -> dict[str, Any]:
    """The line of the store without the task and the steps, which every format has a place for."""
    line = to_json(trajectory)
    return {field: line[field] for field in _FIELDS}


def carried_in(holder: Any) -> Mapping[str, Any] | None:
    """What :func:`carried` put there; None for a document that is not of our writing."""
    found = holder.get(KEY) if isinstance(holder, Mapping) else None
    return found if isinstance(found, Mapping) else None
