"""Read recipes that were written before a key had its present place."""

from typing import Any

from harness.config.stages import CONTROL, RL


def with_present_names(table: dict[str, Any]) -> dict[str, Any]:
    """Return a recipe's table with every key in its present place. Raises ValueError for two values of one key."""
    return _move_template_kwargs(_move_thoughts(table))


def _move_thoughts(table: dict[str, Any]) -> dict[str, Any]:
    """Move `thought` and `filler` from the table `sft` to `steps`."""
    if not isinstance(table.get("sft"), dict):
        return table
    renamed = {"thought": "thoughts", "filler": "filler"}
    found = {renamed[key]: value for key, value in table["sft"].items() if key in renamed}
    if not found:
        return table
    stages = {
        name: {k: v for k, v in table[name].items() if k not in renamed}
        if isinstance(table[name], dict)
        else table[name]
        for name in ("sft", CONTROL)
        if name in table
    }
    return {**table, **stages, "steps": {**found, **(table.get("steps") or {})}}


def _move_template_kwargs(table: dict[str, Any]) -> dict[str, Any]:
    """Move TRL's key, which reached sampling only, to the table `model`. Raises ValueError for two opinions."""
    key, moved, found = "chat_template_kwargs", dict(table), []
    for stage in RL:
        trl = (table.get(stage) or {}).get("trl") if isinstance(table.get(stage), dict) else None
        if isinstance(trl, dict) and trl.get(key) is not None:
            found.append(trl[key])
            moved[stage] = {**table[stage], "trl": {k: v for k, v in trl.items() if k != key}}
    model = table.get("model") or {}
    if not found or not isinstance(model, dict):
        return table
    if any(value != found[0] for value in [*found, model.get(key) or found[0]]):
        raise ValueError(f"model.{key}: a stage's table trl says otherwise; write it in the table model only")
    moved["model"] = {**model, key: found[0]}
    return moved
