"""iFlow CLI sessions: Claude Code's envelope, snapshots of a reply on several lines, Gemini's results."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from trajectories.conversation.events import Event, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions.anthropic_lines import Replies, UserTexts, lenient_text, not_of_the_model
from trajectories.readers.sessions.gemini_parts import response_text
from trajectories.readers.sessions.session_tree import session_lines
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read each session, and each sub-agent of it, in the order of its lines: ``parentUuid`` tells no branches here.

    A line of another session that has a parent goes on with the one before, which was resumed.

    A window over the latest calls slides along while a reply is written, a line for each position. So lines of the
    agent with nothing between them are one reply, and a call counts where its id comes first.
    """
    notes: Counter[str] = Counter()
    agents: dict[tuple[int, str], list[JSONObject]] = {}  # by the number of the session, and the agent's name
    number, session = 0, None
    for line in session_lines(document.value, notes):
        if line.get("type") in ("user", "assistant"):
            name = text_at(line, "agentId") or ("sub-agent" if line.get("isSidechain") is True else "")
            begins = (
                not name and not line.get("parentUuid") and text_at(line, "sessionId") not in (None, session)
            )
            number += begins and session is not None
            session = text_at(line, "sessionId") if begins else session
            agents.setdefault((number, name), []).append(line)
        else:
            notes["line_of_unknown_kind"] += 1
    for what, times in notes.items():
        ledger.note(what, document.position, times)
    for (_, name), lines in agents.items():
        yield from _read_agent(name, lines, document, ledger)


def _read_agent(
    name: str, lines: Sequence[JSONObject], document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    replies = Replies(result_text=_result_text)
    numbered = list(zip(lines, _reply_ids(lines), strict=True))
    for line, reply in numbered:
        if not_of_the_model(line):
            replies.notes["reply_not_of_the_model"] += 1
        else:
            replies.add(line, reply)
    folded = fold(_events(numbered, replies))
    for what, times in replies.notes.items():
        ledger.note(what, document.position, times)
    first = lines[0]
    instance_id = text_at(first, "sessionId") or document.name
    models = (_model(line) for line, reply in numbered if reply)
    cwd = text_at(first, "cwd")
    yield from record(
        folded,
        document,
        ledger,
        source="iflow",
        instance_id=instance_id,
        trajectory_id=f"{instance_id}/{name}" if name else instance_id,
        position=f"{document.position}/{name}" if name else None,
        task=folded.prompt.strip(),
        model=next((model for model in models if model), None),
        metadata={"version": text_at(first, "version"), **({"repo": cwd} if cwd else {})},
    )


def _reply_ids(lines: Sequence[JSONObject]) -> Iterator[str | None]:
    """Yield the number of the reply that each line belongs to, None for the user's lines."""
    number, within = 0, False
    for line in lines:
        if line.get("type") != "assistant" or not_of_the_model(line):
            within = False
            yield None
            continue
        number += not within
        within = True
        yield str(number)


def _events(numbered: Sequence[tuple[JSONObject, str | None]], replies: Replies) -> Iterator[Event]:
    texts = UserTexts()
    seen: set[str] = set()
    for line, reply in numbered:
        if reply is None:
            yield from replies.loose_results(line)
            repeats = line.get("isCompactSummary") and seen
            if line.get("type") == "user" and not repeats and (text := texts.text(line)):
                yield UserMessage(text=text)
        elif reply not in seen:
            seen.add(reply)
            yield from replies.events(reply)


def _model(line: JSONObject) -> str | None:
    message = line.get("message")
    return text_at(message, "model") if isinstance(message, dict) else None


def _result_text(content: JSON) -> str:
    """Return the text of a result: Gemini's ``functionResponse``, bare or in ``responseParts``, or blocks."""
    if not isinstance(content, dict):
        return lenient_text(content)
    parts = content.get("responseParts", content)
    answers = [
        part["functionResponse"]
        for part in (parts if isinstance(parts, list) else [parts])
        if isinstance(part, dict) and isinstance(part.get("functionResponse"), dict)
    ]
    if answers:
        return "\n".join(map(response_text, answers))
    if parts is not content:
        return lenient_text(parts)
    shown = content.get("resultDisplay")
    return shown if isinstance(shown, str) else json.dumps(content, ensure_ascii=False)
