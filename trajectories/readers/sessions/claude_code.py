"""Claude Code session files: a tree of lines, one content block of a message on each."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, UserMessage, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.sessions.anthropic_lines import Replies, UserTexts, not_of_the_model, reply_id
from trajectories.readers.sessions.claude_attachments import attachment_kind, attachment_text
from trajectories.readers.sessions.parent_sessions import asked_by_parent
from trajectories.readers.sessions.session_tree import SessionTree, session_lines
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

# Lines that hold nothing for the model; others without a message are counted.
_OF_THE_PROGRAM = frozenset({
    "agent-name", "ai-title", "bridge-session", "custom-title", "file-history-delta", "file-history-snapshot",
    "fork-context-ref", "last-prompt", "mode", "permission-mode", "pr-link", "progress", "queue-operation", "result",
    "started", "summary", "system", "worktree-state",
})  # fmt: skip


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each branch of the tree; ``document.value`` is the list of the file's lines.

    A branch is identified by its last reply. Turns before a fork are part of each of its branches.
    """
    notes: Counter[str] = Counter()
    session = _Session(list(session_lines(document.value, notes)))
    for number, branch in enumerate(session.branches, 1):
        yield from _read_branch(session, branch, number, document, ledger)
    notes.update(session.notes)
    notes["reply_of_the_parent"] += len(session.of_the_parent)
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    for kind, times in session.not_shown.items():
        ledger.note("attachment_not_kept", f"{document.position}: {kind[:40]}", times)


def _read_branch(
    session: "_Session", branch: Sequence[str], number: int, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    lines = [session.tree.by_id[uuid] for uuid in branch]
    first = next(line for line in lines if "message" in line)
    folded = fold(session.events(branch))
    if not folded.prompt.strip():
        asked = session.asked(branch[0]) or asked_by_parent(
            document, text_at(first, "sessionId"), text_at(first, "agentId")
        )
        folded = replace(folded, prompt=asked)
    suffix = f"#{number}" if len(session.branches) > 1 else ""
    instance_id = text_at(first, "sessionId") or document.name
    agent = f"/{name}" if (name := text_at(first, "agentId")) else ""
    metadata: dict[str, JSON] = {"version": text_at(first, "version")}
    if cwd := text_at(first, "cwd"):
        metadata["repo"] = cwd  # a session knows only the folder of its repository
    yield from record(
        folded,
        document,
        ledger,
        source="claude-code",
        instance_id=instance_id,
        trajectory_id=f"{instance_id}{agent}{suffix}",
        position=f"{document.position}{suffix}",
        task=folded.prompt.strip(),
        model=session.model(branch),
        metadata=metadata,
    )


class _Session:
    """A session's tree of lines, its replies put together from their lines."""

    def __init__(self, lines: Sequence[JSONObject]) -> None:
        self.tree = SessionTree(lines, reply_id)
        self.replies = Replies()
        self.is_fork = any(line.get("type") == "fork-context-ref" for line in lines)
        self.not_shown: Counter[str] = Counter()
        self.of_the_parent: set[str] = set()
        self.notes = Counter(self.tree.notes)
        for line in lines:
            self._take(line)
        self.notes.update(self.replies.notes)
        self.branches = self.tree.branches()
        self.aside = self.tree.aside(self.branches)
        self._count_aside()

    def _take(self, line: JSONObject) -> None:
        kind = text_at(line, "type")
        if kind == "user":
            self.replies.add(line, None)
        elif kind == "assistant" and (reply := reply_id(line)) is not None:
            self.replies.add(line, reply)
        elif kind == "assistant":
            self.notes["reply_not_of_the_model" if not_of_the_model(line) else "reply_without_message"] += 1
        elif kind == "attachment":
            if not attachment_text(line):
                self.not_shown[attachment_kind(line)] += 1
        elif kind == "system" and line.get("subtype") == "api_error":
            self.notes["api_error"] += 1
        elif kind not in _OF_THE_PROGRAM:
            self.notes["line_of_unknown_kind"] += 1

    def _count_aside(self) -> None:
        """Count the user's messages that no reply follows, such as a prompt that was edited."""
        texts = UserTexts()
        for uuids in self.aside.values():
            for uuid in uuids:
                line = self.tree.by_id[uuid]
                if line.get("type") == "user" and texts.text(line) and not line.get("isMeta"):
                    self.notes["message_on_no_branch"] += 1

    def model(self, branch: Sequence[str]) -> str | None:
        lines = (self.tree.by_id[uuid] for uuid in branch if self.tree.replies[uuid])
        return next((name for line in lines if (name := text_at(line, "message", "model"))), None)

    def asked(self, root: str) -> str:
        """Return the prompt of a sub-agent that only the call which started it holds."""
        caller = self.tree.started_by.get(root)
        reply = self.tree.replies.get(caller) if caller else None
        return self.replies.asked_by(reply) if reply else ""

    def events(self, branch: Sequence[str]) -> Iterator[Event]:
        texts = UserTexts()
        seen: set[str] = set()
        prompted = not self.is_fork  # what comes before a fork's prompt is its parent's
        for uuid in branch:
            line = self.tree.by_id[uuid]
            reply = self.tree.replies[uuid]
            if reply is None:
                yield from self.replies.loose_results(line)
                messages = list(self._messages(line, texts, bool(seen)))
                prompted = prompted or bool(messages)
                yield from messages
            elif reply not in seen:
                seen.add(reply)
                if not prompted:
                    self.of_the_parent.add(reply)
                    continue
                yield from self.replies.events(reply)
                # Beside the results of parallel calls there may be what the program wrote after them.
                for beside in self.aside.get(reply, ()):
                    yield from self._written_after(self.tree.by_id[beside])
            for attached in self.tree.beside.get(uuid, ()):
                yield from self._messages(attached, texts, bool(seen))

    def _messages(self, line: JSONObject, texts: UserTexts, replied: bool) -> Iterator[UserMessage]:
        text = ""
        if line.get("type") == "attachment":
            text = attachment_text(line)
        elif line.get("type") == "user" and "message" in line:
            # A summary repeats what the branch holds already; it is the prompt only where it comes first.
            text = "" if line.get("isCompactSummary") and replied else texts.text(line)
        if text:
            yield UserMessage(text=text)

    def _written_after(self, line: JSONObject) -> Iterator[Event]:
        yield from self.replies.loose_results(line)
        if line.get("type") == "attachment" or line.get("isMeta"):
            yield from self._messages(line, UserTexts(), True)
