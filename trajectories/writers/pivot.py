"""NeMo Gym's pivot rows: one row a step, the history as items of the Responses API, the expert's call beside it.

The shape is that of Gym's server ``single_step_tool_use_with_argument_comparison`` (its ``task_data.py``).
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from trajectories.round_trip import KEY, extra
from trajectories.store import context_mark, reasoning_of
from trajectories.types import JSON, Action, JSONObject, Step, Trajectory
from trajectories.writers.tools import tools_of

AGENT = {"type": "responses_api_agents", "name": "single_step_tool_use_with_argument_comparison_agent"}


def write(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[JSONObject]:
    """Write a row for each training target. The last row, with its extra fields, holds the whole trajectory."""
    acting = [index for index, step in enumerate(trajectory.steps) if step.actions]
    targets = [index for index in acting if trajectory.steps[index].target]
    left_out["no_action"] += len(trajectory.steps) - len(acting)
    left_out["context_only"] += len(acting) - len(targets)
    if not targets:
        left_out["trajectory_without_target" if acting else "trajectory_without_action"] += 1
        return
    tools = [
        {"type": "function", "name": name, "parameters": schema, "strict": False}
        for name, schema in tools_of(trajectory).items()
    ]
    common = extra(trajectory)
    history: list[JSONObject] = [{"type": "message", "role": "user", "content": trajectory.task}]
    for index, step in enumerate(trajectory.steps):
        if step.actions and step.target:
            own: dict[str, JSON] = {"step_index": index, "steps": len(trajectory.steps)}
            own |= {"thought": step.thought, "observation": step.observation, **reasoning_of(step)}
            if context_only := [at for at, s in enumerate(trajectory.steps[:index]) if not s.target]:
                own["context_only"] = context_only
            if index == targets[-1]:
                own["after"] = [_later(later) for later in trajectory.steps[index + 1 :]]
            yield {
                "responses_create_params": {"input": list(history), "tools": tools},
                "expected_action": _expected(step.actions),
                "agent_ref": AGENT,
                KEY: common | own,
            }
        history += items(index, step)


def _later(step: Step) -> JSONObject:
    """Return a step after the last row: one without an action, or context only."""
    actions = [{"name": action.name, "arguments": dict(action.arguments)} for action in step.actions]
    texts = {"thought": step.thought, "observation": step.observation}
    return texts | ({"actions": actions} if actions else {}) | reasoning_of(step) | context_mark(step)


def items(index: int, step: Step) -> Iterator[JSONObject]:
    """Yield the items of a step. Their ids name the step, so that no two steps merge."""
    if step.reasoning:
        thinking = [{"type": "reasoning_text", "text": step.reasoning}]
        yield {"type": "reasoning", "id": f"rs_{index}", "summary": [], "content": thinking}
    # A thought that is the reasoning itself was no message.
    if step.thought != step.reasoning or not (step.actions or step.reasoning):
        content = [{"type": "output_text", "text": step.thought, "annotations": []}]
        message = {"type": "message", "role": "assistant", "content": content}
        yield {**message, "id": f"msg_{index}", "status": "completed"}
    for position, action in enumerate(step.actions):
        yield {**_call(action), "call_id": f"call_{index}_{position}"}
    for position in range(len(step.actions)):
        # Our record has one observation a turn: it answers the last call.
        output = step.observation if position == len(step.actions) - 1 else ""
        yield {"type": "function_call_output", "call_id": f"call_{index}_{position}", "output": output}
    if step.observation and not step.actions:
        yield {"type": "message", "role": "user", "content": step.observation}


def _expected(actions: Sequence[Action]) -> JSONObject:
    if len(actions) == 1:
        return _call(actions[0])
    return {"type": "function_call_batch", "calls": [_call(action) for action in actions]}


def _call(action: Action) -> JSONObject:
    return {"type": "function_call", "name": action.name, "arguments": json.dumps(dict(action.arguments))}
