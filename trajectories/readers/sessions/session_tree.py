"""Sessions whose lines form a tree by ``uuid`` and ``parentUuid``: the branches that an agent went, in linear time."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from trajectories.types import JSON, JSONObject

_Agent = tuple[str | None, bool, str | None]  # session, whether it is a sub-agent, and which


class SessionTree:
    """The lines of a session by id, each with its parent.

    A line whose parent is in no line of the session follows the line before it of the same agent. So does a reply or a
    result that names no parent, and each line if none does, as in files that other programs wrote. A line of a
    sub-agent below a line of the main agent is a root, and a line of the main agent below one of a sub-agent follows
    the main agent's line before it. ``notes`` counts these.
    """

    def __init__(self, lines: Sequence[JSONObject], reply_of: Callable[[JSONObject], str | None]) -> None:
        """``reply_of`` returns the id that the lines of one reply share, None for any other line."""
        self.notes: Counter[str] = Counter()
        self.by_id: dict[str, JSONObject] = {}
        self.parents: dict[str, str | None] = {}
        self.beside: dict[str, list[JSONObject]] = {}  # line's id -> lines without an id that come after it
        self.started_by: dict[str, str] = {}  # root of a sub-agent -> the main agent's line that it is below
        self._agents: dict[str, _Agent] = {}
        self._latest: dict[_Agent, str] = {}
        self._last: str | None = None
        self._wanted = [(number, line, _text(line.get("uuid"))) for number, line in enumerate(lines, 1)]
        self._known = {uuid for _, _, uuid in self._wanted if uuid}
        self._flat = not any(_parents_named(line) for line in lines)
        for number, line, uuid in self._wanted:
            self._add(number, line, uuid)
        self.notes = +self.notes
        self.replies = {uuid: reply_of(line) for uuid, line in self.by_id.items()}
        self._children: dict[str, list[str]] = {}
        for uuid, parent in self.parents.items():
            if parent is not None:
                self._children.setdefault(parent, []).append(uuid)
        self._top: dict[str, str | None] = {}  # line -> the last reply on the path to it
        self._depth: dict[str, int] = {}
        self._continued: set[str] = set()  # replies that another reply follows
        self._walk()

    def branches(self) -> list[list[str]]:
        """Return paths of ids, each from a root to the end of a reply that no other reply follows.

        Results of parallel calls are often leaves: such an end of a reply that goes on elsewhere is no branch. Of
        several ends of one last reply the longest path is taken.
        """
        ends: dict[str, str] = {}
        for uuid in self.by_id:
            reply = self._top[uuid]
            if reply is None or reply in self._continued or uuid in self._children:
                continue
            if reply not in ends or self._depth[uuid] > self._depth[ends[reply]]:
                ends[reply] = uuid
        return [self._path(end) for end in ends.values()]

    def aside(self, branches: Sequence[Sequence[str]]) -> dict[str, list[str]]:
        """Return the lines on no branch, by the reply that they belong to."""
        taken = {uuid for branch in branches for uuid in branch}
        found: dict[str, list[str]] = {}
        for uuid in self.by_id:
            if uuid not in taken:
                found.setdefault(self._top[uuid] or "", []).append(uuid)
        return found

    def _add(self, number: int, line: JSONObject, uuid: str | None) -> None:
        if uuid in self.by_id:
            self.notes["line_written_twice"] += 1
            return
        if uuid is None:
            if "message" not in line:
                if line.get("type") == "attachment" and self._last:
                    self.beside.setdefault(self._last, []).append(line)
                return
            self.notes["line_without_uuid"] += 1
            uuid = f"line {number}"
            line = {**line, "uuid": uuid, "parentUuid": self._last}
        named = _parents_named(line)
        wanted = next((parent for parent in named if parent in self._known or parent in self.by_id), None)
        wanted = wanted or next(iter(named), None)
        agent = self._agent_of(line, wanted)
        self.by_id[uuid] = line
        self.parents[uuid] = self._fitting(line, uuid, wanted, agent)
        self._agents[uuid] = agent
        self._latest[agent] = self._last = uuid

    def _agent_of(self, line: JSONObject, parent: str | None) -> _Agent:
        """Return whose line this is; what the line does not say is as its parent's, or the line's before it."""
        known = parent if parent in self._agents else self._last
        session, side, name = self._agents[known] if known else (None, False, None)
        session = _text(line.get("sessionId")) or session
        if isinstance(line.get("isSidechain"), bool):
            side = bool(line["isSidechain"])
        return session, side, (_text(line.get("agentId")) or name) if side else None

    def _fitting(self, line: JSONObject, uuid: str, wanted: str | None, agent: _Agent) -> str | None:
        before = self._latest.get(agent)
        if wanted is None:
            follows = before is not None and (self._flat or (_answers(line) and agent[1:] != (True, None)))
            self.notes["line_without_parent"] += follows
            return before if follows else None
        if wanted == line.get("logicalParentUuid") and wanted in self._known and wanted not in self.by_id:
            # A compaction during a reply names its line, which is written after the summary and below it.
            self.notes["cycle_of_parents"] += 1
            return before
        if wanted not in self._known and wanted not in self.by_id:
            self.notes["parent_in_no_file"] += 1
            # A result may be written before its call: then the line before is below this one.
            return before if before and self.parents[before] != uuid else None
        of_parent = self._agents.get(wanted, agent)
        if of_parent[1:] == agent[1:]:
            return wanted
        self.notes["parent_of_another_agent"] += 1
        if agent[1]:
            self.started_by[uuid] = wanted
        return None if agent[1] else before

    def _walk(self) -> None:
        for uuid, parent in self.parents.items():
            if parent is None:
                self._descend(uuid)
        for uuid in self.by_id:
            if uuid not in self._top:  # its ancestors are a cycle
                self.notes["cycle_of_parents"] += 1
                self.parents[uuid] = None
                self._descend(uuid)

    def _descend(self, root: str) -> None:
        """Visit a line and all below it, with the replies on the way to each."""
        path: list[str] = []
        stack: list[tuple[str, bool]] = [(root, True)]
        on_path: set[str] = set()
        while stack:
            uuid, entering = stack.pop()
            reply = self.replies[uuid]
            if not entering:
                on_path.discard(path.pop())
                continue
            if uuid in self._top:
                continue
            if reply is not None and reply not in on_path:
                if path:
                    self._continued.add(path[-1])
                path.append(reply)
                on_path.add(reply)
                stack.append((uuid, False))
            self._top[uuid] = path[-1] if path else None
            parent = self.parents[uuid]
            self._depth[uuid] = self._depth[parent] + 1 if parent else 0
            stack += [(child, True) for child in reversed(self._children.get(uuid, ()))]

    def _path(self, end: str) -> list[str]:
        path = []
        line: str | None = end
        while line is not None:
            path.append(line)
            line = self.parents[line]
        return path[::-1]


def session_lines(value: JSON, notes: Counter[str]) -> Iterator[JSONObject]:
    """Yield the objects among a log's lines, also those of lists; other values are counted."""
    for line in value if isinstance(value, list) else [value]:
        if isinstance(line, dict):
            yield line
        elif isinstance(line, list):
            yield from session_lines(line, notes)
        else:
            notes["line_of_unknown_kind"] += 1


def _parents_named(line: JSONObject) -> list[str]:
    return [parent for key in ("parentUuid", "logicalParentUuid") if (parent := _text(line.get(key)))]


def _answers(line: JSONObject) -> bool:
    """Return whether a line is a reply or a result, before which there has to be another line."""
    message = line.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    results = (isinstance(block, dict) and block.get("type") == "tool_result" for block in blocks)
    return line.get("type") in ("assistant", "tool_result") or any(results)


def _text(value: JSON) -> str | None:
    return value if isinstance(value, str) and value else None
