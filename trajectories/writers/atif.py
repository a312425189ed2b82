"""ATIF 1.8, the Agent Trajectory Interchange Format of Harbor: one document a trajectory."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from trajectories.round_trip import KEY, carried
from trajectories.store import unlearned
from trajectories.types import Step, Trajectory
from trajectories.writers.tools import tools_of

VERSION = "ATIF-v1.8"


def write(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """The task is the user's step, every step of ours an agent's step; the rest stands in ``extra``."""
    agent: dict[str, Any] = {"name": trajectory.source, "version": "unknown"}
    if trajectory.model is not None:
        agent["model_name"] = trajectory.model
    if tools := tools_of(trajectory):
        agent["tool_definitions"] = [
            {"type": "function", "function": {"name": name, "parameters": schema}}
            for name, schema in tools.items()
        ]
    yield {
        "schema_version": VERSION,
        "trajectory_id": trajectory.trajectory_id,
        "agent": agent,
        "steps": [
            {"step_id": 1, "source": "user", "message": trajectory.task},
            *(_step(number, step) for number, step in enumerate(trajectory.steps, 2)),
        ],
        "extra": {KEY: carried(trajectory)},
    }


def _step(number: int, step: Step) -> dict[str, Any]:
    row: dict[str, Any] = {"step_id": number, "source": "agent", "message": step.thought}
    if step.actions:
        row["tool_calls"] = [
            {
                "tool_call_id": f"call_{number}_{place}",
                "function_name": action.name,
                "arguments": dict(action.arguments),
            }
            for place, action in enumerate(step.actions, 1)
        ]
    if step.observation:
        # Our record has one observation a turn: it answers the last call.
        answered = {"source_call_id": f"call_{number}_{len(step.actions)}"} if step.actions else {}
        row["observation"] = {"results": [{**answered, "content": step.observation}]}
    if not step.target:
        row["extra"] = {KEY: unlearned(step)}
    return row
