"""SWE-smith rows: ``messages`` (a JSON string or a list) in the forms ``tool``, ``xml`` and ``ticks``."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import NO_BLOCK, Event, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import RowFacts, as_object, as_verdict, row_facts, text_at
from trajectories.conversation.reasoning import (
    ENCRYPTED,
    hides_reasoning,
    join_reasoning,
    reasoning_of,
    split_thinking,
)
from trajectories.conversation.turns import once
from trajectories.ledger import FileLedger
from trajectories.readers.chat.exchange import loaded
from trajectories.readers.chat.message_fields import messages_of, split_before_fence, task_of
from trajectories.readers.chat.messages import (
    bash,
    openai_reply,
    result_ids,
    text_of,
    without_label,
    xml_reply,
)
from trajectories.readers.scaffolds import submissions
from trajectories.readers.scaffolds.rendered_calls import real_call
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Step, Trajectory

EXIT_MARKER = "exit_marker"  # the scaffold's words, not the agent's
MADE_UP_SUBMIT = "made_up_submit"

# SWE-agent writes this as the agent's last reply when it stops a run; SWE-smith rewrites the one about the
# cost limit into a submit that the agent never made (train/traj_mgr/utils.py).
EXIT = re.compile(r"\AExit(?:ed|ing)? (?:due to|forced)\b")
MADE_UP = "Since we have successfully fixed the issue and verified it works, let's submit the changes:"

_FENCE = re.compile(r"^```[^\n`]*$", re.MULTILINE)
_ROLLOUT = re.compile(r"(?P<instance>[^/\s]+__[^/\s]+\.[0-9a-f]{8}\.[^/\s]+)\.[^./\s]+", re.ASCII)
_MIRROR = re.compile(r"(?:[^/\s]+/)?[^/\s]+__[^/\s]+\.[0-9a-f]{8}", re.ASCII)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row, or a bare list of messages."""
    row = as_object(document.value, "messages")
    notes: Counter[str] = Counter()
    said = events(messages_of(document.value, notes), notes)
    folded = fold(once(said, lambda what: notes.update([what])))
    facts = row_facts(row)
    patch = _patch(row, folded.steps, notes)
    for what, times in (+notes).items():
        ledger.note(what, document.position, times)
    yield from record(
        folded,
        document,
        ledger,
        source="swe-smith",
        instance_id=facts.instance_id or instance_of(facts.trajectory_id or ""),
        trajectory_id=facts.trajectory_id,
        task=task_of(folded, facts.task),
        model=facts.model,
        resolved=as_verdict(row.get("target")) if facts.resolved is None else facts.resolved,
        patch=patch,
        metadata=_metadata(facts),
    )


def instance_of(traj_id: str) -> str | None:
    """Return the instance of one of SWE-smith's ``traj_id``, None for any other id.

    >>> instance_of("acme__widgets.1a2b3c4d.pr_7.x1y2z3w4")
    'acme__widgets.1a2b3c4d.pr_7'
    """
    match = _ROLLOUT.fullmatch(traj_id)
    return match["instance"] if match else None


def _metadata(facts: RowFacts) -> dict[str, JSON]:
    """Return the facts to keep. SWE-smith's mirror is of one commit; the repository stands in the instance's id."""
    mirror = _MIRROR.fullmatch(str(facts.metadata.get("repo", "")))
    return {key: value for key, value in facts.metadata.items() if key != "repo" or not mirror}


def _patch(row: JSONObject, steps: Sequence[Step], notes: Counter[str]) -> str | None:
    """Return the diff that the run ended with, else one that the row gives; notes say how they compare."""
    own = submissions.submitted_diff(steps)
    column, named = text_at(row, "patch"), row_facts({**row, "patch": None}).patch
    what = submissions.compare(column, own, steps) if column and not named else None
    if what:
        notes[what] += 1
    fits = what == submissions.COLUMN_USED
    return own if own is not None else named or (column if fits else None)


def events(messages: Iterable[JSON], notes: Counter[str] | None = None) -> Iterator[Event]:
    """Read messages, or the items of SWE-agent's history, which are the same. ``notes`` counts what is odd."""
    notes = Counter() if notes is None else notes
    messages = list(messages)
    form = _form(messages)
    before_first_reply = True
    for message in messages:
        if not isinstance(message, dict):
            notes["message_not_understood"] += 1
            continue
        if message.get("is_demo"):
            continue
        role = message.get("role")
        if role == "assistant":
            notes[ENCRYPTED] += hides_reasoning(message)
            yield reply_of(message, form)
            before_first_reply = False
        elif role in ("tool", "user"):
            text = text_of(message.get("content"))
            if before_first_reply:
                yield UserMessage(text=text)
            else:
                yield Result(text=without_label(text), call_ids=result_ids(message))
        elif role not in ("system", "developer"):
            notes["message_of_unknown_role"] += 1


def _form(messages: Iterable[JSON]) -> str:
    """Return how a conversation writes its calls: by what its replies end with, not by words within them."""
    ends: Counter[str] = Counter()
    for message in messages:
        if not isinstance(message, dict) or message.get("role") != "assistant":
            continue
        if loaded(message.get("tool_calls")):
            return "tool"
        content = text_of(message.get("content")).rstrip()
        ends["xml"] += content.endswith("</function>")
        ends["ticks"] += content.endswith("```")
        ends["unclosed"] += "<function=" in content
    if ends["xml"] or ends["ticks"]:
        return "xml" if ends["xml"] >= ends["ticks"] else "ticks"
    return "xml" if ends["unclosed"] else "ticks"


def reply_of(message: JSONObject, form: str) -> Reply:
    """Read a reply; ``form``: how its conversation writes calls, ``tool``, ``xml`` or ``ticks``."""
    content, thought = text_of(message.get("content")), text_of(message.get("thought"))
    reasoning = reasoning_of(message)
    tool_calls, action = loaded(message.get("tool_calls")), message.get("action")
    if isinstance(tool_calls, list) and tool_calls:
        return openai_reply(thought or content, tool_calls, reasoning)
    if EXIT.match(content):
        return Reply(thought=content, problem=EXIT_MARKER)
    if content.startswith(MADE_UP):
        return Reply(thought=content, problem=MADE_UP_SUBMIT)
    if isinstance(action, str):
        return _rendered_reply(message, content, thought, reasoning)
    if form == "xml":
        return xml_reply(content, reasoning)
    tagged, content = split_before_fence(content)
    reply = _ticks_reply(content) if form == "ticks" else Reply(thought=content)
    return replace(reply, reasoning=join_reasoning(reasoning, tagged))


def _rendered_reply(message: JSONObject, content: str, thought: str, reasoning: str) -> Reply:
    """Read a reply in one of SWE-agent's text formats: its call is in the content, or it is the shell line itself."""
    action = text_of(message["action"])
    # A reply may be the command itself, or nothing beside it.
    told = thought or ("" if action.strip() and "thought" in message else content)
    tagged, spoken = split_thinking("" if told.strip() == action.strip() else told)
    found = real_call(content, thought, action)
    if found is not None:
        first, before = split_thinking(found.thought)
        return replace(found, thought=before, reasoning=join_reasoning(reasoning, first or tagged))
    calls = (bash(action),) if action.strip() else ()
    return Reply(thought=spoken, calls=calls, reasoning=join_reasoning(reasoning, tagged))


def _ticks_reply(content: str) -> Reply:
    """Take the last fenced block, SWE-agent's own rule.

    SWE-smith writes a blank line before it, and no language. A command may itself write fenced blocks, in pairs.
    """
    fences = list(_FENCE.finditer(content))
    if len(fences) < 2 or fences[-1][0].rstrip() != "```":
        return Reply(thought=content, problem=NO_BLOCK if "```" in content else None)
    openers = range(len(fences) - 2, -1, -2)
    opener = next((fences[at] for at in openers if _is_opener(content, fences[at])), fences[-2])
    before, after = content[: opener.start()].rstrip(), content[fences[-1].end() :].strip()
    command = content[opener.end() + 1 : fences[-1].start()].removesuffix("\n")
    return Reply(thought=f"{before}\n\n{after}" if after else before, calls=(bash(command),))


def _is_opener(body: str, fence: re.Match[str]) -> bool:
    return fence[0].rstrip() == "```" and (fence.start() == 0 or body.endswith("\n\n", 0, fence.start()))
