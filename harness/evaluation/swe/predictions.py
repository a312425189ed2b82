"""Predictions in SWE-bench's shape: read anyone's file, check it against the tasks."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from harness.cli import UsageError, user_errors
from harness.evaluation.records import Prediction
from trajectories.pointers import unfetched
from trajectories.types import JSON


def read_predictions(path: Path, instance_ids: Collection[str]) -> dict[str, Prediction]:
    """Read anyone's predictions: ``.jsonl``, or ``.json`` as a list or as an object by instance.

    Raises UserError for malformed rows, for duplicate ids, and for ids that are none of ``instance_ids``.
    """
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise UsageError(f"--predictions {path}: {what}")
    known = frozenset(instance_ids)
    found: dict[str, Prediction] = {}
    for where, row in _prediction_rows(path):
        prediction = _prediction(row, where)
        name = prediction.instance_id
        if name in found:
            raise UsageError(f"{where}: duplicate prediction for {name}; keep one per instance")
        if name not in known:
            raise UsageError(f"{where}: {name} is none of the {len(known)} tasks")
        found[name] = prediction
    if not found:
        raise UsageError(f"{path}: holds no prediction")
    return found


def _prediction_rows(path: Path) -> Iterator[tuple[str, JSON]]:
    with user_errors(UnicodeDecodeError, about=f"{path}: not UTF-8", usage=True):
        text = path.read_text(encoding="utf-8")
    if advice := unfetched(text.partition("\n")[0].encode()):
        raise UsageError(f"{path}: {advice}")
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield f"{path}:{number}", _parsed(line, f"{path}:{number}")
        return
    value = _parsed(text, str(path))
    if isinstance(value, dict):
        for name, row in value.items():
            if isinstance(row, dict):
                row = {"instance_id": name, **row}
            yield f"{path}: {name}", row
    elif isinstance(value, list):
        yield from ((f"{path}: entry {number}", row) for number, row in enumerate(value, 1))
    else:
        raise UsageError(f"{path}: a list of predictions or an object by instance, not {value!r:.40}")


def _parsed(text: str, where: str) -> JSON:
    with user_errors(ValueError, about=f"{where}: not JSON", usage=True):
        return json.loads(text)


def _prediction(row: JSON, where: str) -> Prediction:
    if not isinstance(row, dict):
        raise UsageError(f"{where}: a prediction is an object, this is {type(row).__name__}")
    name, patch = row.get("instance_id"), row.get("model_patch")
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: a prediction names its instance_id")
    if "model_patch" not in row:
        raise UsageError(f"{where}: {name} has no model_patch")
    if patch is not None and not isinstance(patch, str):
        raise UsageError(f"{where}: model_patch of {name} is {type(patch).__name__}, not text")
    return Prediction(
        instance_id=name,
        model_name_or_path=str(row.get("model_name_or_path") or "predictions"),
        model_patch=patch or "",
    )
