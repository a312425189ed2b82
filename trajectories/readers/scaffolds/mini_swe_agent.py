"""mini-swe-agent ``.traj.json``: text and tool mode, v1 and v2; rows of data sets; the bare list of messages."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trajectories.conversation.events import Event, Result, UserMessage, fold, record
from trajectories.conversation.fields import as_object, row_facts, text_at
from trajectories.conversation.reasoning import ENCRYPTED, hides_reasoning
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.chat.message_fields import messages_of, reply_in, task_of
from trajectories.readers.chat.messages import result_ids, text_of
from trajectories.readers.scaffolds.mini_replies import (
    SYNTAXES,
    Syntax,
    chosen_syntaxes,
    recorded_reply,
    refused,
    reply_of,
)
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

LOST_REPLY = "refused_reply_not_recorded"  # until 2.4 a reply that tool mode refused is in no message

_SILENT_ROLES = ("system", "developer", "exit")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a run, a row of a data set, or a bare list of messages."""
    run = as_object(document.value, "messages")
    notes: Counter[str] = Counter()
    messages = messages_of(document.value, notes)
    info, facts = _object(run.get("info")), row_facts(run)
    last = _object(messages[-1].get("extra")) if messages else {}
    config = _object(info.get("config"))
    said = events(messages, config=config, notes=notes)
    folded = fold(once(said, lambda what: notes.update([what])))
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    metadata = {**facts.metadata, "exit_status": info.get("exit_status") or last.get("exit_status")}
    if info.get("mini_version"):
        metadata["mini_version"] = info["mini_version"]
    yield from record(
        folded,
        document,
        ledger,
        source="mini-swe-agent",
        instance_id=facts.instance_id,
        trajectory_id=facts.trajectory_id,
        task=task_of(folded, facts.task),
        model=text_at(_object(config.get("model")), "model_name") or facts.model,
        resolved=facts.resolved,
        patch=text_at(info, "submission") or text_at(last, "submission") or facts.patch,
        metadata=metadata,
    )


def events(
    messages: Iterable[JSONObject], *, config: JSONObject | None = None, notes: Counter[str] | None = None
) -> Iterator[Event]:
    """Yield events. A user message after a reply is the observation; the last one says how the run ended.

    ``config``: the run's configuration, which may name the pattern of commands. ``notes`` counts what is odd.
    """
    messages = list(messages)
    run = _Run(notes=Counter() if notes is None else notes, syntaxes=chosen_syntaxes(messages, config or {}))
    for index, message in enumerate(messages):
        yield from run.take(message, messages[index + 1] if index + 1 < len(messages) else {})


@dataclass(kw_only=True)
class _Run:
    """A pass over the messages."""

    notes: Counter[str]
    syntaxes: Sequence[Syntax] = SYNTAXES
    replied: bool = False  # a reply came before: what is said until then is the prompt
    unanswered: bool = False  # the message before is a reply

    def take(self, message: JSONObject, following: JSONObject) -> Iterator[Event]:
        role, extra = message.get("role"), _object(message.get("extra"))
        if role == "assistant" or message.get("object") == "response":
            reply = reply_of(message, extra, self.syntaxes)
            held = (message, reply_in(extra.get("response")) or {})
            self.notes[ENCRYPTED] += not reply.reasoning and any(map(hides_reasoning, held))
            yield refused(reply, message) if _is_complaint(following) else reply
            self.replied = self.unanswered = True
            return
        if message.get("type") == "function_call_output":
            call_id = message.get("call_id")
            ids = (call_id,) if isinstance(call_id, str) else ()
            yield Result(text=text_of(message.get("output")), call_ids=ids)
        elif role in ("user", "tool"):
            yield from self._said(message, extra)
        elif role not in _SILENT_ROLES:
            self.notes["message_of_unknown_role"] += 1
        self.unanswered = False

    def _said(self, message: JSONObject, extra: JSONObject) -> Iterator[Event]:
        if _is_complaint(message) and not self.unanswered:
            reply = recorded_reply(extra, self.syntaxes)
            if reply is None:
                self.notes[LOST_REPLY] += 1
            else:
                yield reply
                self.replied = True
        text = text_of(message.get("content"))
        if not self.replied:
            yield UserMessage(text=text)
        elif message.get("role") == "tool" or "exit_status" not in extra:
            yield Result(text=text, call_ids=result_ids(message))


def _is_complaint(message: JSONObject) -> bool:
    return _object(message.get("extra")).get("interrupt_type") == "FormatError"


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
