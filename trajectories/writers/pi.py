"""Pi session v3, which the hub renders: one session a trajectory, its entries in one line of parents."""

from collections import Counter
from collections.abc import Iterator

from trajectories.round_trip import KEY, extra
from trajectories.types import JSON, JSONObject, Step, Trajectory

VERSION = 3
_TIME = "1970-01-01T00:00:00.000Z"  # our record has no times, and Pi wants some
_NO_COST = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}
_NO_USAGE = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 0, "cost": _NO_COST}


def write(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    """Write the lines of a session. What Pi has no field for is an entry of an extension, which Pi passes over."""
    messages = [{"role": "user", "content": [_text(trajectory.task)]}]
    for number, step in enumerate(trajectory.steps):
        messages += _messages(number, step, trajectory.model or "unknown")
    data = extra(trajectory) | {"lines": len(messages) + 2}
    if context := [number for number, step in enumerate(trajectory.steps) if not step.target]:
        data["context_only"] = context
    repo = trajectory.metadata.get("repo")
    yield {
        "type": "session",
        "version": VERSION,
        "id": trajectory.trajectory_id,
        "timestamp": _TIME,
        "cwd": repo if isinstance(repo, str) else "",
    }
    entries = [{"type": "custom", "customType": KEY, "data": data}]
    entries += [{"type": "message", "message": {**message, "timestamp": 0}} for message in messages]
    for number, entry in enumerate(entries):
        parent = f"{number - 1:08x}" if number else None
        yield {"type": entry["type"], "id": f"{number:08x}", "parentId": parent, "timestamp": _TIME, **entry}


def _text(text: str) -> dict[str, JSON]:
    return {"type": "text", "text": text}


def _messages(number: int, step: Step, model: str) -> Iterator[dict[str, JSON]]:
    """Yield the reply of a step and the results of its calls."""
    content: list[JSONObject] = []
    if step.reasoning:
        content.append({"type": "thinking", "thinking": step.reasoning})
    if step.thought != step.reasoning:
        content.append(_text(step.thought))
    names = {f"call_{number}_{at}": action.name for at, action in enumerate(step.actions)}
    for call_id, action in zip(names, step.actions, strict=True):
        called = {"id": call_id, "name": action.name, "arguments": dict(action.arguments)}
        content.append({"type": "toolCall", **called})
    yield {
        "role": "assistant",
        "content": content,
        "api": "unknown",
        "provider": "unknown",
        "model": model,
        "usage": _NO_USAGE,
        "stopReason": "toolUse" if step.actions else "stop",
    }
    for at, (call_id, name) in enumerate(names.items(), 1):
        # Our record has one observation a turn: it answers the last call.
        texts = [_text(step.observation)] if step.observation and at == len(names) else []
        result = {"toolCallId": call_id, "toolName": name, "content": texts, "isError": False}
        yield {"role": "toolResult", **result}
    if step.observation and not step.actions:
        yield {"role": "user", "content": [_text(step.observation)]}
