"""The tools of a trajectory, inferred from its own calls: names, arguments and the types of their values."""

from trajectories.types import JSON, JSONObject, Trajectory

_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def tools_of(trajectory: Trajectory) -> dict[str, JSONObject]:
    """Return the JSON schema of the arguments by tool name, in the order of first use. Nothing is required.

    >>> from trajectories.types import Action, Step
    >>> ls = Action(name="bash", arguments={"command": "ls"})
    >>> steps = (Step(thought="", actions=(ls,), observation=""),)
    >>> tools_of(Trajectory(trajectory_id="t", instance_id="t", task="", steps=steps, source="store"))
    {'bash': {'type': 'object', 'properties': {'command': {'type': 'string'}}}}
    """
    found: dict[str, dict[str, set[str]]] = {}
    for step in trajectory.steps:
        for action in step.actions:
            arguments = found.setdefault(action.name, {})
            for key, value in action.arguments.items():
                arguments.setdefault(key, set()).update(_type(value))
    return {
        name: {"type": "object", "properties": {key: _schema(types) for key, types in arguments.items()}}
        for name, arguments in found.items()
    }


def function_tools(trajectory: Trajectory) -> list[JSONObject]:
    """Return the tools as chat APIs declare them."""
    return [
        {"type": "function", "function": {"name": name, "parameters": schema}}
        for name, schema in tools_of(trajectory).items()
    ]


def _type(value: JSON) -> set[str]:
    return {_TYPES[type(value)]} if type(value) in _TYPES else set()


def _schema(types: set[str]) -> JSONObject:
    """Return a schema of these types; without one, as where only nulls were seen, it accepts any value."""
    if len(types) > 1:
        return {"type": sorted(types)}
    return {"type": next(iter(types))} if types else {}
