"""TRAE agent runs: the bare run, or ISO-Bench's line that wraps it with a summary and the patch."""

import re
from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import make_reply, text_of
from trajectories.readers.events import Event, Result, record
from trajectories.readers.fields import value_at
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_WORKTREE = re.compile(r"/worktrees/([^/\s]+)/[^/\s]+")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a run. Requests without a reply are noted: no agent turn took place."""
    row = document.value
    run = row["trajectory"] if isinstance(row.get("trajectory"), Mapping) else row
    steps = run["agent_steps"]
    replied = [step for step in steps if step.get("llm_response")]
    if len(replied) < len(steps):
        ledger.note("request_without_reply", document.position, len(steps) - len(replied))
    trajectory_id, instance_id, repo = _names(row, document)
    metadata: dict[str, JSON] = {"success": run.get("success")}  # the agent's claim, not verified
    if repo:
        metadata["repo"] = repo
    yield from record(
        (event for step in replied for event in _events(step)),
        document,
        ledger,
        source="trae",
        instance_id=instance_id,
        trajectory_id=trajectory_id,
        prompt=row.get("task") or run.get("task") or "",
        model=run.get("model"),
        patch=row.get("model_patch") or None,
        metadata=metadata,
    )


def _events(step: JSONObject) -> Iterator[Event]:
    """Yield a reply, its tools' results, and TRAE's own answers (``llm_messages``: sent after the reply).

    A ``task_done`` that TRAE refuses is never run: its call is only in the reply, its answer in a message.
    """
    reply = step["llm_response"]
    calls = reply.get("tool_calls") or []
    listed = ((call.get("name"), call.get("arguments"), call.get("call_id")) for call in calls)
    yield make_reply(text_of(reply.get("content")), listed)
    for result in step.get("tool_results") or []:
        # As TRAE's clients send it: the output, then the error.
        text = "\n".join(part for part in (result.get("result"), result.get("error")) if part).strip()
        yield Result(text=text, call_ids=(result["call_id"],) if result.get("call_id") else ())
    for message in step.get("llm_messages") or []:
        if message.get("role") == "user" and message.get("content") and not message.get("tool_result"):
            yield Result(text=text_of(message["content"]))


def _names(row: JSONObject, document: Document) -> tuple[str, str, str | None]:
    """Return the ids of the run and of its task, and the repository. A bare run is named by its file."""
    source_path = row.get("source_path")
    if not isinstance(source_path, str):
        return document.name, document.name, None
    folders = source_path.split("/")[:-1]
    commit = value_at(row, "run_summary", "commits", "human")
    worktree = _WORKTREE.search(row.get("task") or "")
    repo = value_at(row, "run_summary", "meta", "task_id") or (worktree[1] if worktree else None)
    item = value_at(row, "run_summary", "meta", "item_id") or folders[-1]
    instance_id = f"{repo}-{commit}" if repo and commit else item
    return "/".join(folders[-2:]), instance_id, repo
