"""ATIF 1.8 or 1.7, the Agent Trajectory Interchange Format of Harbor: one document a trajectory."""

from collections import Counter
from collections.abc import Iterator

from trajectories.round_trip import KEY, extra, own_fields
from trajectories.types import JSON, JSONObject, Step, Trajectory
from trajectories.writers.tools import function_tools

VERSION = "ATIF-v1.8"
# Harbor 0.13 and others of its time accept no later one. What we write is the same in both.
VERSION_1_7 = "ATIF-v1.7"


def write(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    """Write the task as the user's step and every step as an agent's step; the other fields go into ``extra``."""
    yield from _documents(trajectory, VERSION)


def write_1_7(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    """Write what :func:`write` does, for readers of version 1.7."""
    yield from _documents(trajectory, VERSION_1_7)


def _documents(trajectory: Trajectory, version: str) -> Iterator[JSONObject]:
    agent: dict[str, JSON] = {"name": trajectory.source, "version": "unknown"}
    if trajectory.model is not None:
        agent["model_name"] = trajectory.model
    if tools := function_tools(trajectory):
        agent["tool_definitions"] = tools
    yield {
        "schema_version": version,
        "trajectory_id": trajectory.trajectory_id,
        "agent": agent,
        "steps": [
            {"step_id": 1, "source": "user", "message": trajectory.task},
            *(_step(number, step) for number, step in enumerate(trajectory.steps, 2)),
        ],
        "extra": {KEY: extra(trajectory)},
    }


def _step(number: int, step: Step) -> JSONObject:
    # A thought that is the reasoning itself was no visible text.
    message = "" if step.thought == step.reasoning else step.thought
    row: dict[str, JSON] = {"step_id": number, "source": "agent", "message": message}
    if step.reasoning:
        row["reasoning_content"] = step.reasoning
    if step.actions:
        row["tool_calls"] = [
            {"tool_call_id": f"call_{number}_{at}", "function_name": a.name, "arguments": dict(a.arguments)}
            for at, a in enumerate(step.actions, 1)
        ]
    if step.observation:
        # Our record has one observation a turn: it answers the last call.
        answered = {"source_call_id": f"call_{number}_{len(step.actions)}"} if step.actions else {}
        row["observation"] = {"results": [{**answered, "content": step.observation}]}
    if own := own_fields(step):
        row["extra"] = {KEY: own}
    return row
