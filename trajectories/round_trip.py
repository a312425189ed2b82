"""Fields that a foreign format has no place for, kept under a key of ours, so that the way back is exact."""

from collections.abc import Mapping

from trajectories.store import context_mark, to_json
from trajectories.types import JSON, JSONObject, Step, Trajectory

KEY = "srl_agent"


def extra(trajectory: Trajectory) -> dict[str, JSON]:
    """Return the line of the store without the task and the steps, which every format has a place for."""
    return {field: value for field, value in to_json(trajectory).items() if field not in ("task", "steps")}


def read_extra(holder: JSON) -> JSONObject | None:
    """Return what :func:`extra` put there, None for a document that we did not write."""
    found = holder.get(KEY) if isinstance(holder, Mapping) else None
    return found if isinstance(found, Mapping) else None


def own_fields(step: Step) -> dict[str, JSON]:
    """Return the fields of a step that formats with reasoning lack: its mark, and a thought less than the reasoning."""
    unsaid = {"thought": ""} if step.reasoning and not step.thought else {}
    return {**unsaid, **context_mark(step)}
