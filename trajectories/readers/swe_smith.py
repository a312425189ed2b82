"""SWE-smith rows: ``messages`` (a JSON string or a list) in the forms ``tool``, ``xml`` and ``ticks``."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import (
    Message,
    bash,
    openai_reply,
    result_ids,
    text_of,
    without_label,
    xml_reply,
)
from trajectories.readers.events import NO_BLOCK, Event, Reply, Result, Said, admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import JSON, Step, Trajectory

SOURCE = "swe-smith"
EXIT_MARKER = "exit_marker"  # the scaffold's word, not the agent's
MADE_UP_SUBMIT = "made_up_submit"

# SWE-agent writes this as the agent's last reply when it stops a run; SWE-smith rewrites the one about the
# cost limit into a submit that the agent never made (train/traj_mgr/utils.py).
EXIT = re.compile(r"\AExit(?:ed|ing)? (?:due to|forced)\b")
MADE_UP = "Since we have successfully fixed the issue and verified it works, let's submit the changes:"

# On a line of its own: the review message also says "Use below <diff> to find the files you need to revert".
_DIFF = re.compile(r"^<diff>\r?\n(.*?)\r?\n?</diff>", re.DOTALL | re.MULTILINE)
_TICKS = re.compile(r"^```[a-z]*\n(.*?)\n?```\s*\Z", re.DOTALL | re.MULTILINE)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    row = document.value
    messages = row["messages"]
    messages = json.loads(messages) if isinstance(messages, str) else messages
    folded = fold(events(messages))
    instance_id = row.get("instance_id") or document.name
    task = issue_text(folded.prompt)
    resolved = row.get("resolved")
    metadata: dict[str, JSON] = {} if task == folded.prompt.strip() else {"prompt": folded.prompt}
    if isinstance(row.get("base_commit"), str):
        metadata["base_commit"] = row["base_commit"]
    patch = submitted_diff(folded.steps)
    if patch is None and row.get("patch"):
        # The column belongs to another row in most of the published data; nothing here can confirm it.
        ledger.note("patch_column_not_trusted", document.position)
    yield from admit(
        Trajectory(
            trajectory_id=row.get("traj_id") or instance_id,
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=row.get("model"),
            resolved=resolved if isinstance(resolved, bool) else None,
            patch=patch,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )


def events(messages: Iterable[Message]) -> Iterator[Event]:
    """Also reads SWE-agent's history, whose items these messages are."""
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
                yield Said(text=text)
            else:
                yield Result(text=without_label(text), call_ids=result_ids(message))


def reply_of(message: Message) -> Reply:
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
    """The last fenced block, at the end of the reply; SWE-agent's own rule."""
    start = content.rfind("\n```", 0, content.rstrip().rfind("```"))
    match = _TICKS.search(content, start + 1 if start >= 0 else 0)
    if match is None:
        return Reply(thought=content, problem=NO_BLOCK if "```" in content else None)
    return Reply(thought=content[: match.start()], calls=(bash(match[1]),))


def submitted_diff(steps: Sequence[Step]) -> str | None:
    """The diff that the run ended with, from the observations of its submits.

    The first ``submit`` shows a review message with ``<diff>…</diff>``, the second the bare diff; where that
    last observation is cut off, as in ``xml`` rows, the last ``<diff>`` is all there is.
    """
    for step in reversed(steps):
        if not any(is_submit(action.name, action.arguments) for action in step.actions):
            continue
        if found := _DIFF.findall(step.observation):
            return _with_newline(_unix(found[-1]))
        if step.observation.lstrip().startswith("diff --git"):
            return _with_newline(_unix(step.observation.lstrip("\r\n")))
    return None


def is_submit(name: str, arguments: Any) -> bool:
    return name == "submit" or (name == "bash" and str(arguments.get("command", "")).strip() == "submit")


def _unix(diff: str) -> str:
    """The diff as it was before a terminal ended each of its lines with CR LF."""
    return diff.replace("\r\n", "\n") if diff.count("\r\n") == diff.count("\n") else diff


def _with_newline(diff: str) -> str:
    return diff if not diff or diff.endswith("\n") else diff + "\n"
