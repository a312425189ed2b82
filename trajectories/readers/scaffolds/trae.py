"""TRAE agent runs: the bare run, or ISO-Bench's line that wraps it with a summary and the patch."""

import re
from collections.abc import Iterator

from trajectories.conversation.events import Event, Result, record
from trajectories.conversation.fields import row_facts, text_at
from trajectories.conversation.reasoning import reasoning_of
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_WORKTREE = re.compile(r"/worktrees/([^/\s]{1,200})/[^/\s]")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a run. Requests without a reply are noted: no agent turn took place."""
    row = document.value
    run = _object(row.get("trajectory")) or row
    steps = [_object(step) for step in run["agent_steps"]]
    replied = [step for step in steps if _object(step.get("llm_response"))]
    if len(replied) < len(steps):
        ledger.note("request_without_reply", document.position, len(steps) - len(replied))
    facts = row_facts(row)
    trajectory_id, instance_id, repo = _names(row, document)
    metadata: dict[str, JSON] = {"success": run.get("success")}  # the agent's claim, not verified
    if repo:
        metadata["repo"] = repo
    yield from record(
        (event for step in replied for event in _events(step)),
        document,
        ledger,
        source="trae",
        instance_id=facts.instance_id or instance_id,
        trajectory_id=facts.trajectory_id or trajectory_id,
        prompt=text_at(row, "task") or text_at(run, "task") or facts.task or "",
        model=text_at(run, "model") or facts.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata={**metadata, **facts.metadata},
    )


def _events(step: JSONObject) -> Iterator[Event]:
    """Yield a reply, its tools' results, and TRAE's own answers (``llm_messages``: sent after the reply).

    A ``task_done`` that TRAE refuses is never run: its call is only in the reply, its answer in a message.
    """
    reply = step["llm_response"]
    calls = [_object(call) for call in _list(reply.get("tool_calls"))]
    listed = [(call.get("name"), call.get("arguments"), call.get("call_id")) for call in calls]
    yield make_reply(text_of(reply.get("content")), listed, reasoning_of(reply))
    for result in _list(step.get("tool_results")):
        if not isinstance(result, dict):
            continue
        # As TRAE's clients send it: the output, then the error.
        text, error = text_of(result.get("result")), text_of(result.get("error"))
        call_id = result.get("call_id")
        ids = (call_id,) if isinstance(call_id, str) and call_id else ()
        yield Result(text=(f"{text}\n{error}" if text and error else text or error).strip(), call_ids=ids)
    for message in _list(step.get("llm_messages")):
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        if message.get("content") and not message.get("tool_result"):
            yield Result(text=text_of(message["content"]))


def _names(row: JSONObject, document: Document) -> tuple[str, str, str | None]:
    """Return the ids of the run and of its task, and the repository. A bare run is named by its file."""
    source_path = row.get("source_path")
    if not isinstance(source_path, str):
        return document.name, document.name, None
    folders = source_path.split("/")[:-1]
    summary = _object(row.get("run_summary"))
    meta = _object(summary.get("meta"))
    commit = text_at(_object(summary.get("commits")), "human")
    worktree = _WORKTREE.search(text_at(row, "task") or "")
    repo = text_at(meta, "task_id") or (worktree[1] if worktree else None)
    item = text_at(meta, "item_id") or (folders[-1] if folders else document.name)
    instance_id = f"{repo}-{commit}" if repo and commit else item
    return "/".join(folders[-2:]) or document.name, instance_id, repo


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else []
