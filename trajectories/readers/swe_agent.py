"""SWE-agent ``.traj`` files of 0.x and 1.x; the history holds what the model saw and wrote."""

import json
from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.events import Event, Reply, Result, fold, record
from trajectories.readers.fields import text_at
from trajectories.readers.swe_smith import events, submitted_diff
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory; of a retry agent, one for each of its attempts."""
    run = document.value
    attempts = run.get("attempts")
    if not run.get("history") and attempts:
        for number, attempt in enumerate(attempts, 1):
            yield from _read_run(attempt, run, document, ledger, f"#attempt-{number}")
    else:
        yield from _read_run(run, run, document, ledger, "")


def _read_run(
    run: JSONObject, outer: JSONObject, document: Document, ledger: FileLedger, suffix: str
) -> Iterator[Trajectory]:
    config = _replay_config(run.get("replay_config") or outer.get("replay_config"))
    info = run.get("info") or {}
    folded = fold(_history(run))
    task = text_at(config, "problem_statement", "text")
    instance_id = text_at(config, "problem_statement", "id") or document.name
    metadata: dict[str, JSON] = {"exit_status": info.get("exit_status")}
    if version := info.get("swe_agent_version"):
        metadata["swe_agent_version"] = version
    yield from record(
        folded,
        document,
        ledger,
        source="swe-agent",
        instance_id=instance_id,
        trajectory_id=f"{instance_id}{suffix}",
        task=None if task is None else task.strip(),
        model=text_at(config, "agent", "model", "name"),
        patch=info.get("submission") or submitted_diff(folded.steps),
        metadata=metadata,
    )


def _history(run: JSONObject) -> Iterator[Event]:
    """Yield the history's events. The last observation, which no model saw, is only in ``trajectory``."""
    last: Event | None = None
    replies = 0
    for event in events(run["history"]):
        replies += isinstance(event, Reply)
        last = event
        yield event
    steps = run.get("trajectory") or []
    if isinstance(last, Reply) and replies == len(steps) and steps[-1].get("observation"):
        yield Result(text=steps[-1]["observation"])


def _replay_config(value: JSON) -> JSONObject:
    """Return the configuration, empty if it is missing or unreadable: it only names things."""
    try:
        config = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return config if isinstance(config, Mapping) else {}
