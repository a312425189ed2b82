"""Claude Code session files: a tree of lines, one content block of a message on each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import anthropic_reply, text_of
from trajectories.readers.turns import Event, Result, Said, admit, fold
from trajectories.sources import Document
from trajectories.types import JSON, Trajectory

SOURCE = "claude-code"

Record = Mapping[str, Any]


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """``document.value`` is the list of the file's lines. One trajectory for each branch of the tree.

    A branch is told by the last reply on it. Turns before a fork are part of each of its branches.
    """
    session = _Session([record for record in document.value if isinstance(record, Mapping)])
    if session.not_the_model:
        ledger.note("reply_not_of_the_model", document.position, session.not_the_model)
    branches = session.branches()
    for number, branch in enumerate(branches, 1):
        first = next(record for record in branch if "message" in record)
        folded = fold(session.events(branch))
        suffix = f"#{number}" if len(branches) > 1 else ""
        instance_id = str(first.get("sessionId") or document.name)
        agent = f"/{first['agentId']}" if first.get("agentId") else ""
        metadata: dict[str, JSON] = {"version": first.get("version")}
        if first.get("cwd"):
            metadata["repo"] = first["cwd"]  # the folder is all that a session knows of its repository
        yield from admit(
            Trajectory(
                trajectory_id=f"{instance_id}{agent}{suffix}",
                instance_id=instance_id,
                task=folded.prompt.strip(),
                steps=folded.steps,
                source=SOURCE,
                model=session.model(branch),
                metadata=metadata,
            ),
            folded,
            ledger,
            f"{document.position}{suffix}",
        )


class _Session:
    """A session's records by id, its replies put together from their lines, its tool results by call."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.by_id: dict[str, Record] = {}
        self.blocks: dict[str, list[JSON]] = {}  # reply id -> content blocks of all its lines
        self.results: dict[str, list[str]] = {}
        self.not_the_model = 0
        for record in records:
            uuid = record.get("uuid")
            if not isinstance(uuid, str) or uuid in self.by_id:
                continue
            self.by_id[uuid] = record
            message = record.get("message")
            if not isinstance(message, Mapping):
                continue
            content = message.get("content")
            if record.get("type") == "assistant":
                if self.reply_id(record) is None:
                    self.not_the_model += 1
                else:
                    reply = self.blocks.setdefault(str(self.reply_id(record)), [])
                    reply.extend(content if isinstance(content, list) else [content] if content else [])
            for block in content if isinstance(content, list) else []:
                if isinstance(block, Mapping) and block.get("type") == "tool_result":
                    self.results.setdefault(str(block.get("tool_use_id")), []).append(
                        text_of(block.get("content"))
                    )

    def reply_id(self, record: Record) -> str | None:
        """Lines of one reply share the message id. None: not a reply of the model."""
        message = record.get("message")
        if record.get("type") != "assistant" or not isinstance(message, Mapping):
            return None
        if message.get("model") == "<synthetic>" or record.get("isApiErrorMessage"):
            return None
        return str(message.get("id") or record["uuid"])

    def branches(self) -> list[list[Record]]:
        """Paths from a root to the last line of a reply that no other path goes on from."""
        parents = {self._parent(record) for record in self.by_id.values()}
        ends: dict[str, list[Record]] = {}  # last reply on the path -> the path
        for uuid, record in self.by_id.items():
            if uuid in parents:
                continue
            path = self._path(record)
            replies = [reply for step in path if (reply := self.reply_id(step))]
            if replies and len(path) > len(ends.get(replies[-1], ())):
                ends[replies[-1]] = path
        inner = {
            reply
            for last, path in ends.items()
            for step in path
            if (reply := self.reply_id(step)) and reply != last
        }
        return [path for last, path in ends.items() if last not in inner]

    def _parent(self, record: Record) -> str | None:
        parent = record.get("parentUuid") or record.get("logicalParentUuid")
        return parent if isinstance(parent, str) else None

    def _path(self, record: Record) -> list[Record]:
        path, seen = [record], {record["uuid"]}
        while (parent := self._parent(path[-1])) in self.by_id and parent not in seen:
            assert parent is not None
            seen.add(parent)
            path.append(self.by_id[parent])
        return path[::-1]

    def events(self, branch: Sequence[Record]) -> Iterator[Event]:
        told: set[str] = set()
        for record in branch:
            reply = self.reply_id(record)
            message = record.get("message")
            if reply is not None and reply not in told:
                told.add(reply)
                turn = anthropic_reply(self.blocks[reply])
                yield turn
                for call in turn.calls:
                    for text in self.results.get(call.call_id or "", ()):
                        yield Result(text=text, call_ids=(str(call.call_id),))
            elif record.get("type") == "user" and isinstance(message, Mapping):
                # A summary repeats what the branch holds already; it is the prompt only where it comes first.
                if record.get("isMeta") or (record.get("isCompactSummary") and told):
                    continue
                if text := _said(message.get("content")):
                    yield Said(text=text)
            elif record.get("type") == "attachment" and isinstance(record.get("attachment"), Mapping):
                attachment = record["attachment"]
                if attachment.get("type") == "queued_command" and attachment.get("prompt"):
                    yield Said(text=text_of(attachment["prompt"]))

    def model(self, branch: Sequence[Record]) -> str | None:
        for record in branch:
            if self.reply_id(record):
                return str(record["message"]["model"]) if record["message"].get("model") else None
        return None


def _said(content: JSON) -> str:
    if isinstance(content, list):
        content = [b for b in content if not (isinstance(b, Mapping) and b.get("type") == "tool_result")]
    return text_of(content)
