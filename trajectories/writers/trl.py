"""TRL's conversational rows: ``messages`` with native tool calls.

Rows of ``prompt`` and ``completion`` need the prompts that training shows: ``harness.data.trl_rows`` makes them.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from trajectories.types import Step, Trajectory
from trajectories.writers.tools import tools_of


def write_messages(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """One row a trajectory. Arguments and tools are JSON strings: Arrow would fill dicts of them up with nulls.

    Messages cannot say that a turn is context only: the marks that are lost are counted.
    """
    left_out["mark_of_a_context_only_step"] += sum(not step.target for step in trajectory.steps)
    tools = [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in tools_of(trajectory).items()
    ]
    messages = [{"role": "user", "content": trajectory.task}]
    for index, step in enumerate(trajectory.steps):
        messages += _messages(index, step)
    yield {"messages": messages, "tools": json.dumps(tools), "trajectory_id": trajectory.trajectory_id}


def _messages(index: int, step: Step) -> Iterator[dict[str, Any]]:
    if not step.actions:
        yield {"role": "assistant", "content": step.thought}
        if step.observation:
            yield {"role": "user", "content": step.observation}
        return
    calls = [
        {
            "id": f"call_{index}_{place}",
            "type": "function",
            "function": {"name": action.name, "arguments": json.dumps(dict(action.arguments))},
        }
        for place, action in enumerate(step.actions)
    ]
    yield {"role": "assistant", "content": step.thought, "tool_calls": calls}
    for place, call in enumerate(calls, 1):
        # Our record has one observation a turn: it answers the last call.
        content = step.observation if place == len(calls) else ""
        yield {"role": "tool", "tool_call_id": call["id"], "content": content}
