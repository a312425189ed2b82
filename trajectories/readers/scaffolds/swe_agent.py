"""SWE-agent ``.traj`` files of 0.x and 1.x; the history holds what the model saw and wrote."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from trajectories.conversation.events import Event, Reply, Result, fold, record
from trajectories.conversation.fields import row_facts, text_at
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.scaffolds.submissions import submitted_diff
from trajectories.readers.scaffolds.swe_smith import events
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

NOT_IN_HISTORY = "step_not_in_the_history"  # the scaffold asked again; no later prompt shows the reply


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory; of a retry agent, one for each of its attempts."""
    run = document.value
    attempts = run.get("attempts")
    if not run.get("history") and isinstance(attempts, list) and attempts:
        for number, attempt in enumerate(attempts, 1):
            yield from _read_run(_object(attempt), run, document, ledger, f"#attempt-{number}")
    else:
        yield from _read_run(run, run, document, ledger, "")


def _read_run(
    run: JSONObject, outer: JSONObject, document: Document, ledger: FileLedger, suffix: str
) -> Iterator[Trajectory]:
    config = _replay_config(run.get("replay_config") or outer.get("replay_config"))
    info = _object(run.get("info"))
    facts = row_facts(outer)
    notes: Counter[str] = Counter()
    folded = fold(once(_history(run, notes), lambda what: notes.update([what])))
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    problem = _object(config.get("problem_statement"))
    task = text_at(problem, "text") or facts.task
    instance_id = text_at(problem, "id") or facts.instance_id or document.name
    metadata: dict[str, JSON] = {**facts.metadata, "exit_status": info.get("exit_status")}
    if version := info.get("swe_agent_version"):
        metadata["swe_agent_version"] = version
    yield from record(
        folded,
        document,
        ledger,
        source="swe-agent",
        instance_id=instance_id,
        trajectory_id=f"{facts.trajectory_id or instance_id}{suffix}",
        task=None if task is None else task.strip(),
        model=_model(config) or facts.model,
        resolved=facts.resolved,
        patch=text_at(info, "submission") or submitted_diff(folded.steps) or facts.patch,
        metadata=metadata,
    )


def _history(run: JSONObject, notes: Counter[str]) -> Iterator[Event]:
    """Yield the history's events. The last observation, which no model saw, is only in ``trajectory``."""
    items = [item for item in _list(run.get("history")) if not _object(item).get("is_demo")]
    steps = [_object(step) for step in _list(run.get("trajectory"))]
    if not items and steps:
        notes["history_missing"] += 1
        items = list(_items_of(steps, run))
    last: Event | None = None
    replies = 0
    for event in events(items, notes):
        replies += isinstance(event, Reply)
        last = event
        yield event
    notes[NOT_IN_HISTORY] += max(len(steps) - replies, 0)
    observation = steps[-1].get("observation") if steps else None
    is_last = replies == len(steps) or (bool(steps) and _is_of(steps[-1], items[-1]))
    if isinstance(last, Reply) and is_last and isinstance(observation, str) and observation:
        yield Result(text=observation)


def _items_of(steps: Sequence[JSONObject], run: JSONObject) -> Iterator[JSONObject]:
    """Yield the history that the steps tell of: the first one's input, then reply and observation of each."""
    first = _list(steps[0].get("query")) or _list(run.get("query"))
    yield from (item for item in first if _object(item).get("role") == "user")
    for step in steps:
        content = step.get("response")
        yield {"role": "assistant", **step, "content": content}
        yield {"role": "user", "content": step.get("observation")}


def _is_of(step: JSONObject, item: JSON) -> bool:
    return isinstance(item, dict) and all(step.get(key) == item.get(key) for key in ("action", "thought"))


def _model(config: JSONObject) -> str | None:
    return text_at(_object(_object(config.get("agent")).get("model")), "name")


def _replay_config(value: JSON) -> JSONObject:
    """Return the configuration, empty if it is missing or unreadable: it only names things."""
    try:
        return _object(json.loads(value) if isinstance(value, str) else value)
    except ValueError:
        return {}


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
