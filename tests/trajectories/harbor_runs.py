"""Documents of ATIF as Harbor makes them of an agent's log."""

from collections.abc import Iterable

from trajectories import Trajectory
from trajectories.types import JSON

Object = dict[str, JSON]
METERED: Object = {"metrics": {"prompt_tokens": 9, "completion_tokens": 5}}


def document(steps: Iterable[Object], agent: str = "claude-code", **fields: JSON) -> Object:
    numbered = [{"step_id": number, **step} for number, step in enumerate(steps, 1)]
    named = {"name": agent, "version": "2.1", "model_name": "claude-small"}
    return {"schema_version": "ATIF-v1.7", "session_id": "s1", "agent": named, "steps": numbered} | fields


def asks(text: str, **extra: JSON) -> Object:
    return {"source": "user", "message": text, "extra": {"is_sidechain": False, **extra}}


def says(text: str, *calls: tuple[str, str, Object], reasoning: str | None = None, **extra: JSON) -> Object:
    step: Object = {"source": "agent", "message": text, "model_name": "claude-big"}
    step["extra"] = {"is_sidechain": False, **extra}
    if reasoning:
        step["reasoning_content"] = reasoning
    if calls:
        step["tool_calls"] = [
            {"tool_call_id": call_id, "function_name": name, "arguments": arguments}
            for call_id, name, arguments in calls
        ]
        results = [
            {"source_call_id": call_id, "content": f"[stdout]\nsaw {call_id}"} for call_id, _, _ in calls
        ]
        step["observation"] = {"results": results}
    return step


def bash(call_id: str) -> tuple[str, str, Object]:
    return call_id, "Bash", {"command": call_id}


def asked(call_id: str, prompt: str) -> tuple[str, str, Object]:
    return call_id, "Task", {"prompt": prompt}


def executed(call: tuple[str, str, Object], **extra: JSON) -> Object:
    """Return a step that Harbor 0.13 wrote when the call's result came."""
    return says(f"Executed {call[1]} {call[0]}", call, **extra)


def commands(trajectory: Trajectory) -> list[list[str]]:
    return [[a.arguments.get("command", a.name) for a in step.actions] for step in trajectory.steps]
