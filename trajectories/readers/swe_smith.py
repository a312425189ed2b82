"""SWE-smith rows: ``messages`` (a JSON string or a list) in the forms ``tool``, ``xml`` and ``ticks``."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from trajectories.ledger import FileLedger
from trajectories.readers.chat import bash, openai_reply, result_ids, text_of, without_label, xml_reply
from trajectories.readers.events import NO_BLOCK, Event, Reply, Result, UserMessage, fold, record
from trajectories.readers.fields import texts_at
from trajectories.sources.documents import Document
from trajectories.types import JSONObject, Step, Trajectory

EXIT_MARKER = "exit_marker"  # the scaffold's words, not the agent's
MADE_UP_SUBMIT = "made_up_submit"

# SWE-agent writes this as the agent's last reply when it stops a run; SWE-smith rewrites the one about the
# cost limit into a submit that the agent never made (train/traj_mgr/utils.py).
EXIT = re.compile(r"\AExit(?:ed|ing)? (?:due to|forced)\b")
MADE_UP = "Since we have successfully fixed the issue and verified it works, let's submit the changes:"

# On a line of its own: the review message also says "Use below <diff> to find the files you need to revert".
_DIFF = re.compile(r"^<diff>\r?\n(.*?)\r?\n?</diff>", re.DOTALL | re.MULTILINE)
_TICKS = re.compile(r"^```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.MULTILINE)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row. Its ``patch`` column is noted and not used."""
    row = document.value
    messages = row["messages"]
    folded = fold(events(json.loads(messages) if isinstance(messages, str) else messages))
    patch = submitted_diff(folded.steps)
    if patch is None and row.get("patch"):
        # In most of the published data the column belongs to another row.
        ledger.note("patch_column_not_trusted", document.position)
    yield from record(
        folded,
        document,
        ledger,
        source="swe-smith",
        instance_id=row.get("instance_id"),
        trajectory_id=row.get("traj_id"),
        model=row.get("model"),
        resolved=row.get("resolved"),
        patch=patch,
        metadata=texts_at(row, "base_commit"),
    )


def events(messages: Iterable[JSONObject]) -> Iterator[Event]:
    """Read messages, or the items of SWE-agent's history, which are the same."""
    before_first_reply = True
    for message in messages:
        if message.get("is_demo"):
            continue
        role = message.get("role")
        if role == "assistant":
            yield reply_of(message)
            before_first_reply = False
        elif role in ("tool", "user"):
            text = text_of(message.get("content"))
            if before_first_reply:
                yield UserMessage(text=text)
            else:
                yield Result(text=without_label(text), call_ids=result_ids(message))


def reply_of(message: JSONObject) -> Reply:
    content = text_of(message.get("content"))
    thought = message.get("thought")
    prose = thought if isinstance(thought, str) and thought else content
    if message.get("tool_calls"):
        return openai_reply(prose, message["tool_calls"])
    if EXIT.match(content):
        return Reply(thought=content, problem=EXIT_MARKER)
    if content.startswith(MADE_UP):
        return Reply(thought=content, problem=MADE_UP_SUBMIT)
    if isinstance(message.get("action"), str):  # SWE-agent's text formats: the action is a shell line
        action: str = message["action"]
        return Reply(thought=prose, calls=(bash(action),) if action.strip() else ())
    if "<function=" in content:
        return xml_reply(content)
    return _ticks_reply(content)


def _ticks_reply(content: str) -> Reply:
    """Take the last fenced block, at the end of the reply: SWE-agent's own rule."""
    start = content.rfind("\n```", 0, content.rstrip().rfind("```"))
    match = _TICKS.search(content, start + 1 if start >= 0 else 0)
    if match is None:
        return Reply(thought=content, problem=NO_BLOCK if "```" in content else None)
    return Reply(thought=content[: match.start()], calls=(bash(match[1]),))


def submitted_diff(steps: Sequence[Step]) -> str | None:
    """Return the diff that the run ended with, from the observations of its submits.

    The first ``submit`` shows a review message with ``<diff>…</diff>``, the second the bare diff. Where the last
    observation is missing, as in ``xml`` rows, only the ``<diff>`` is left.
    """
    for step in reversed(steps):
        if not any(is_submit(action.name, action.arguments) for action in step.actions):
            continue
        if found := _DIFF.findall(step.observation):
            return _with_newline(_unix(found[-1]))
        if step.observation.lstrip().startswith("diff --git"):
            return _with_newline(_unix(step.observation.lstrip("\r\n")))
    return None


def is_submit(name: str, arguments: JSONObject) -> bool:
    return name == "submit" or (name == "bash" and str(arguments.get("command", "")).strip() == "submit")


def _unix(diff: str) -> str:
    """Return the diff as it was before a terminal ended each of its lines with CR LF."""
    return diff.replace("\r\n", "\n") if diff.count("\r\n") == diff.count("\n") else diff


def _with_newline(diff: str) -> str:
    return diff if not diff or diff.endswith("\n") else diff + "\n"
