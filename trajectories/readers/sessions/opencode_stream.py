"""The event stream of ``opencode run --format json``: parts of the replies, without the user's prompt."""

from collections import Counter
from collections.abc import Iterator

from trajectories.conversation.events import fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions import opencode
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.readers.sessions.without_prompt import instance_name, name_as_task
from trajectories.sources.documents import Document
from trajectories.sources.tasks import task_for
from trajectories.types import JSON, JSONObject, Trajectory

_Parts = dict[str, list[JSONObject]]  # by the message that they are of


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each session; ``document.value`` is the list of the file's lines."""
    notes: Counter[str] = Counter()
    sessions: dict[str, _Parts] = {}
    for number, line in enumerate(session_lines(document.value, notes)):
        part, name = line.get("part"), text_at(line, "sessionID") or ""
        if isinstance(part, dict):
            message = text_at(part, "messageID") or f"line {number}"
            sessions.setdefault(name, {}).setdefault(message, []).append(part)
        else:
            notes["api_error" if line.get("type") == "error" else "line_of_unknown_kind"] += 1
    for what, times in notes.items():
        ledger.note(what, document.position, times)
    for name, parts in sessions.items():
        yield from _read_session(name, parts, document, ledger)


def _read_session(name: str, parts: _Parts, document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    session = opencode.Session([_message(key, held) for key, held in parts.items()], {})
    folded = fold(session.events())
    position = f"{document.position} session {name}" if name else document.position
    for what, times in (+session.notes).items():
        ledger.note(what, position, times)
    instance_id = instance_name(document)
    task = task_for(document, instance_id) or name_as_task(instance_id, folded, ledger, position)
    yield from record(
        folded,
        document,
        ledger,
        source="opencode",
        instance_id=instance_id,
        trajectory_id=name or None,
        position=position,
        prompt=task,
        task=task,
    )


def _message(name: str, parts: list[JSONObject]) -> dict[str, JSON]:
    """Return a reply with its parts as they began, which their ids tell: calls are written as they end."""
    ids = [part.get("id") for part in parts]
    ordered = (
        sorted(parts, key=lambda part: str(part["id"])) if all(isinstance(i, str) for i in ids) else parts
    )
    return {"info": {"id": name, "role": "assistant"}, "parts": ordered}
