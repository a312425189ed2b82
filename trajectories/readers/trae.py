"""TRAE agent runs: the run itself, or the line of ISO-Bench that wraps it with a summary and the patch."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_reply, text_of
from trajectories.readers.events import Event, Result, admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "trae"

_WORKTREE = re.compile(r"/worktrees/([^/\s]+)/[^/\s]+")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    row = document.value
    run = row["trajectory"] if isinstance(row.get("trajectory"), Mapping) else row
    steps = run["agent_steps"]
    silent = sum(not step.get("llm_response") for step in steps)
    if silent:  # the request failed: no agent turn took place
        ledger.note("request_without_reply", document.position, silent)
    folded = fold(event for step in steps if step.get("llm_response") for event in _events(step))
    trajectory_id, instance_id, repo = _names(row, document)
    prompt = row.get("task") or run.get("task") or ""
    task = issue_text(prompt)
    metadata: dict[str, JSON] = {"success": run.get("success")}  # the agent's word, nobody's verdict
    if repo:
        metadata["repo"] = repo
    if task != prompt.strip():
        metadata["prompt"] = prompt
    yield from admit(
        Trajectory(
            trajectory_id=trajectory_id,
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=run.get("model"),
            patch=row.get("model_patch") or None,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )


def _events(step: Mapping[str, Any]) -> Iterator[Event]:
    """A reply, its tools' results, and what TRAE itself answered (``llm_messages``: sent after the reply).

    A ``task_done`` that TRAE refuses is never run: its call stands only in the reply, its answer in a message.
    """
    reply = step["llm_response"]
    yield openai_reply(
        text_of(reply.get("content")),
        [
            {"name": call.get("name"), "arguments": call.get("arguments"), "id": call.get("call_id")}
            for call in reply.get("tool_calls") or []
        ],
    )
    for result in step.get("tool_results") or []:
        # As TRAE's clients send it: the output, then the error.
        text = "\n".join(part for part in (result.get("result"), result.get("error")) if part).strip()
        yield Result(text=text, call_ids=(result["call_id"],) if result.get("call_id") else ())
    for message in step.get("llm_messages") or []:
        if message.get("role") == "user" and message.get("content") and not message.get("tool_result"):
            yield Result(text=text_of(message["content"]))


def _names(row: Mapping[str, Any], document: Document) -> tuple[str, str, str | None]:
    """Ids of the run and of its task, and the repository. A bare run is named by its file."""
    source_path = row.get("source_path")
    if not isinstance(source_path, str):
        return document.name, document.name, None
    folders = source_path.split("/")[:-1]
    meta = (row.get("run_summary") or {}).get("meta") or {}
    commit = ((row.get("run_summary") or {}).get("commits") or {}).get("human")
    worktree = _WORKTREE.search(row.get("task") or "")
    repo = meta.get("task_id") or (worktree[1] if worktree else None)
    item = meta.get("item_id") or folders[-1]
    instance_id = f"{repo}-{commit}" if repo and commit else item
    return "/".join(folders[-2:]), instance_id, repo
