"""SWE-agent ``.traj`` files of 0.x and 1.x: the history is what the model saw and said."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.events import Event, Reply, Result, admit, fold, issue_text
from trajectories.readers.swe_smith import events, submitted_diff
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "swe-agent"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """One trajectory; of a retry agent, one for each of its attempts."""
    run = document.value
    attempts = run.get("attempts")
    if not run.get("history") and attempts:
        for number, attempt in enumerate(attempts, 1):
            yield from _read_run(attempt, run, document, ledger, f"#attempt-{number}")
    else:
        yield from _read_run(run, run, document, ledger, "")


def _read_run(
    run: Mapping[str, Any], outer: Mapping[str, Any], document: Document, ledger: FileLedger, suffix: str
) -> Iterator[Trajectory]:
    config = _replay_config(run.get("replay_config") or outer.get("replay_config"))
    info = run.get("info") or {}
    folded = fold(_history(run))
    prompt = folded.prompt
    problem = config.get("problem_statement") or {}
    task = problem["text"].strip() if isinstance(problem.get("text"), str) else issue_text(prompt)
    instance_id = problem["id"] if isinstance(problem.get("id"), str) else document.name
    model = ((config.get("agent") or {}).get("model") or {}).get("name")
    patch = info.get("submission") or submitted_diff(folded.steps)
    metadata: dict[str, JSON] = {"exit_status": info.get("exit_status")}
    if version := info.get("swe_agent_version"):
        metadata["swe_agent_version"] = version
    if task != prompt.strip():
        metadata["prompt"] = prompt
    yield from admit(
        Trajectory(
            trajectory_id=f"{instance_id}{suffix}",
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=model if isinstance(model, str) else None,
            patch=patch,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )


def _history(run: Mapping[str, Any]) -> Iterator[Event]:
    """The history's events; the last observation, which no model saw, stands only in ``trajectory``."""
    last: Event | None = None
    replies = 0
    for event in events(run["history"]):
        replies += isinstance(event, Reply)
        last = event
        yield event
    steps = run.get("trajectory") or []
    if isinstance(last, Reply) and replies == len(steps) and steps[-1].get("observation"):
        yield Result(text=steps[-1]["observation"])


def _replay_config(value: JSON) -> Mapping[str, Any]:
    """It is a JSON string, or missing; it only names things, so an unreadable one is as good as none."""
    try:
        config = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return {}
    return config if isinstance(config, Mapping) else {}
