"""TRL's conversational rows: ``messages`` with native tool calls.

Rows of ``prompt`` and ``completion`` need the prompts of a recipe: ``harness.data.trl_rows`` writes them.
"""

import json
from collections import Counter
from collections.abc import Iterator

from trajectories.types import JSON, JSONObject, Step, Trajectory
from trajectories.writers.tools import function_tools


def write_messages(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    """Write one row a trajectory. Arguments are objects, which chat templates expect; ``tools`` is a JSON string.

    Messages cannot mark a turn as context only: the lost marks are counted.
    """
    left_out["mark_of_a_context_only_step"] += sum(not step.target for step in trajectory.steps)
    messages: list[JSONObject] = [{"role": "user", "content": trajectory.task}]
    for index, step in enumerate(trajectory.steps):
        messages += _messages(index, step)
    tools = function_tools(trajectory)
    for tool in tools:
        tool["function"]["description"] = ""  # gpt-oss's template reads one
    yield {"messages": messages, "tools": json.dumps(tools), "trajectory_id": trajectory.trajectory_id}


def _messages(index: int, step: Step) -> Iterator[JSONObject]:
    # Chat templates (Qwen 3's and others) render this field as the thinking; most only since the last user message.
    thinking = {"reasoning_content": step.reasoning} if step.reasoning else {}
    # A thought that is the reasoning itself was no visible text.
    content = "" if step.thought == step.reasoning else step.thought
    if not step.actions:
        yield {"role": "assistant", "content": content, **thinking}
        if step.observation:
            yield {"role": "user", "content": step.observation}
        return
    calls: list[dict[str, JSON]] = []
    for position, action in enumerate(step.actions):
        called = {"name": action.name, "arguments": dict(action.arguments)}
        calls.append({"id": f"call_{index}_{position}", "type": "function", "function": called})
    yield {"role": "assistant", "content": content, **thinking, "tool_calls": calls}
    for position, call in enumerate(calls, 1):
        # Our record has one observation a turn: it answers the last call.
        content = step.observation if position == len(calls) else ""
        yield {"role": "tool", "tool_call_id": call["id"], "content": content}
