"""Prompts of sub-agents that only the session of their parent holds, as Claude Code 2.0.42 to 2.0.55 writes them."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from trajectories.fast_json import loads
from trajectories.sources.documents import Document
from trajectories.types import JSON

_MARKS = (b'"toolUseResult"', b'"agentId"')
_FOLDERS_UP = 3  # the parent is beside its agent's file, or beside the folder <session>/subagents/


def asked_by_parent(document: Document, session: str | None, agent: str | None) -> str:
    """Return the prompt with which a session started a sub-agent, empty if no file beside the document holds it.

    Members of archives have no files beside them.
    """
    if not session or not agent or Path(session).name != session:
        return ""
    if "!" in document.origin or document.origin.startswith("hf:"):
        return ""
    for folder in list(Path(document.origin).parents)[:_FOLDERS_UP]:
        if prompt := _prompts(folder / f"{session}.jsonl").get(agent):
            return prompt
    return ""


@lru_cache(maxsize=16)
def _prompts(path: Path) -> Mapping[str, str]:
    """Return the prompts of the sub-agents whose results stand in a session file."""
    try:
        with path.open("rb") as lines:
            return dict(_results(line for line in lines if all(mark in line for mark in _MARKS)))
    except OSError:
        return {}


def _results(lines: Iterator[bytes]) -> Iterator[tuple[str, str]]:
    for line in lines:
        try:
            value: JSON = loads(line)
        except (ValueError, RecursionError):
            continue
        result = value.get("toolUseResult") if isinstance(value, dict) else None
        result = result if isinstance(result, dict) else {}
        agent, prompt = result.get("agentId"), result.get("prompt")
        if isinstance(agent, str) and isinstance(prompt, str):
            yield agent, prompt
