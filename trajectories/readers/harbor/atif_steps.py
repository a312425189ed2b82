"""The steps of ATIF put in order: whose step it is, which steps are one reply, what the model wrote and saw."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from trajectories.conversation.context_turns import NO_JSON, REFUSED
from trajectories.conversation.reasoning import join_reasoning
from trajectories.readers.chat.messages import text_of
from trajectories.types import JSON, JSONObject

COPIED = "copied_context"  # ATIF: such steps must not be trained on
NOT_OF_THE_MODEL = "not_of_the_model"  # llm_call_count 0: a program called the tool
RESULT = "result"  # a source of ours: a step of the agent that holds only what a tool gave
COMPACTION = "compaction"  # a source of ours: the context was replaced by a summary; the steps before it stay

AtifCall = tuple[JSON, JSON, JSON]  # name, arguments, id

_CLAUDE_CODE = "claude-code"  # as Harbor names it
_IMAGE = re.compile(r'\{"type": "image", "source": \{[^{}]*\}\}')  # as its converter writes it into a text
_UNCOUNTED = "strands"  # its adapter writes llm_call_count 0 where the model's server gave no usage
_RESULT_ROLES = {"toolResult", "tool_result", "tool"}
_OF_A_CALL = ("agent_id", "parentToolCallId", "parent_tool_use_id")  # of a sub-agent, in ``extra``
# Harbor's words for a reply without text.
_NO_TEXT = {
    "(tool use)", "(tool calls)", "[tool call]", "(no assistant text)", "(no assistant text in JSON output)",
    "[empty response]", "Agent response", "[unparsed Copilot event]",
}  # fmt: skip
_NO_TASK = {"(empty user message)", "(instruction unavailable)"}
_NO_WORDS = ("LLM response metadata", "(error) ", "[error] ")  # beginnings of such, and of errors of a server


@dataclass(frozen=True, kw_only=True)
class AtifStep:
    """One step with its fields of the right types."""

    source: str
    text: str = ""
    reasoning: str = ""
    calls: tuple[AtifCall, ...] = ()
    results: tuple[tuple[str | None, str], ...] = ()  # (id of the call, text)
    context: str | None = None  # why it is no example to learn from
    model: str | None = None
    time: str | None = None
    metered: bool = False  # it has metrics: of the steps of one reply only the first has
    side: bool | None = None  # it is marked as a sub-agent's, or as the main agent's
    agent: str | None = None  # the sub-agent's id
    placeholder: bool = False  # the message is Harbor's "Executed …"
    problem: str | None = None  # why the calls in its text cannot be read
    notes: tuple[str, ...] = ()  # for the ledger


def read_step(step: JSONObject, agent: str | None) -> AtifStep:
    """Return the step of a document of this agent. Any field may be missing or of another type."""
    extra = _object(step.get("extra"))
    calls = tuple(
        (call.get("function_name"), call.get("arguments"), call.get("tool_call_id"))
        for call in _objects(step.get("tool_calls"))
    )
    listed, calls = calls, tuple(call for call in calls if NO_JSON not in _object(call[1]))
    message = text_of(step.get("message"))
    message = _IMAGE.sub("[image]", message) if agent == _CLAUDE_CODE else message
    executed = _executed(message, calls)
    source = str(step.get("source"))
    results = tuple(_results(step, extra, agent))
    if source == "agent" and not calls and (_is_result(extra) or _echoes(step, message, results)):
        source, results, message = RESULT, results or ((None, message),), ""
        named = (_text(extra, key) for key in ("tool_call_id", "toolCallId", "source_call_id"))
        call_id = next((one for one in named if one), None)
        results = tuple((own or call_id, text) for own, text in results)
    by_program = step.get("llm_call_count") in (0, 0.0) and agent != _UNCOUNTED
    context = NOT_OF_THE_MODEL if by_program and calls else None
    if len(calls) < len(listed):
        context = REFUSED
        message = message or "\n".join(str(name) for name, _, _ in listed)
        known = {call_id for _, _, call_id in calls}
        results = tuple((own if own in known else None, text) for own, text in results)
    side = extra.get("is_sidechain")
    return AtifStep(
        source=_source(source, extra),
        text="" if executed or _is_no_text(message, calls) else message,
        reasoning=_text(step, "reasoning_content") or "",
        calls=calls,
        results=results,
        context=COPIED if step.get("is_copied_context") is True else context,
        model=_text(step, "model_name"),
        time=_text(step, "timestamp"),
        metered=isinstance(step.get("metrics"), dict),
        side=side if isinstance(side, bool) else None,
        agent=next((owner for key in _OF_A_CALL if (owner := _text(extra, key))), None),
        placeholder=executed,
    )


def _source(source: str, extra: JSONObject) -> str:
    """Return whose step it is. Pi's summaries stand as steps of the agent: the model was given them by its program."""
    kind = extra.get("pi_event_type")
    if source == "agent" and kind == "branch_summary":
        return "user"
    managed = source == "system" and _object(extra.get("context_management")).get("type") == COMPACTION
    return COMPACTION if managed or (source == "agent" and kind == COMPACTION) else source


def _executed(message: str, calls: Sequence[AtifCall]) -> bool:
    """Return whether a message is the one that Harbor writes for a call without text."""
    if len(calls) != 1 or not message.startswith("Executed "):
        return False
    name, _, call_id = calls[0]
    return message in {f"Executed {name}", f"Executed {name} {call_id}", f"Executed {name} (no result)"}


def _is_no_text(message: str, calls: Sequence[AtifCall]) -> bool:
    """Return whether a message is what Harbor writes where a reply has no text."""
    if message.strip() in _NO_TEXT | _NO_TASK:
        return True
    if not calls:
        return message.startswith(_NO_WORDS)
    names = ", ".join(str(name) for name, _, _ in calls)
    several = ("tools requested", f"Calling tools: {names}")
    single = (f"{names} requested", f"{names} result", f"Calling {names}")
    named = (f"[tool call: {names}]", "Tool call", *(several if len(calls) > 1 else single))
    # Goose names a tool without its extension.
    short = f"[tool call: {names.rpartition('.')[2]}]"
    return message in named or message == short or message.startswith(_NO_WORDS[0])


def _is_result(extra: JSONObject) -> bool:
    roles = (value for key, value in extra.items() if key == "role" or key.endswith("_role"))
    return any(str(value) in _RESULT_ROLES for value in roles) or _text(extra, "source_call_id") is not None


def _echoes(step: JSONObject, message: str, results: Sequence[tuple[str | None, str]]) -> bool:
    """Return whether a step that no model wrote repeats a tool's output as its message."""
    written = any(step.get(key) for key in ("model_name", "reasoning_content", "metrics"))
    return bool(message) and not written and [text for _, text in results] == [message]


def _results(step: JSONObject, extra: JSONObject, agent: str | None) -> Iterator[tuple[str | None, str]]:
    found = _objects(_object(step.get("observation")).get("results"))
    for result in found:
        own = _object(result.get("extra"))
        raw = _raw(own) or (_raw(extra) if len(found) == 1 else None)
        text = text_of((result if raw is None else raw).get("content"))
        encoded = raw is None and agent == _CLAUDE_CODE
        yield _text(result, "source_call_id"), _decoded(text) if encoded else text


def _raw(extra: JSONObject) -> JSONObject | None:
    """Return the tool's result as the model saw it, which Harbor keeps beside its own rendering."""
    raw = _object(extra.get("tool_result_metadata")).get("raw_tool_result")
    return raw if isinstance(raw, dict) and "content" in raw else None


def _decoded(text: str) -> str:
    """Return the text of blocks that Harbor's Claude Code wrote as one JSON object each."""
    if not text.startswith('{"type": "text"'):
        return text
    blocks: list[JSON] = []
    at = 0
    decoder = json.JSONDecoder()
    try:
        while at < len(text):
            block, at = decoder.raw_decode(text, at)
            blocks.append(block)
            at += 2 if text.startswith("\n\n", at) else 0
    except (ValueError, RecursionError):
        return text
    return text_of(blocks)


def reply_steps(steps: Sequence[AtifStep]) -> list[AtifStep]:
    """Return the steps with those of one reply joined, if a placeholder tells that Harbor took replies apart.

    Until 0.13 it wrote a reply's text, thinking and calls as steps of their own, calls when their result came. Of the
    steps of a reply only the first has metrics; without any metrics a text is one reply with the call that follows.
    """
    if not any(step.placeholder for step in steps):
        return list(steps)
    by_reply = any(step.metered for step in steps) and any(step.side is not None for step in steps)
    ordered = list(steps)
    if by_reply and all(step.time for step in steps):
        ordered.sort(key=lambda step: step.time or "")
    joined: list[AtifStep] = []
    for step in ordered:
        before = joined[-1] if joined else None
        if before and before.source == step.source == "agent" and _continues(before, step, by_reply):
            joined[-1] = _join(before, step)
        else:
            joined.append(step)
    return joined


def _continues(before: AtifStep, step: AtifStep, by_reply: bool) -> bool:
    if step.metered or (step.calls and not step.placeholder):
        return False
    at_once = before.time is not None and before.time == step.time
    return not before.calls or at_once or (by_reply and bool(step.calls))


def _join(first: AtifStep, second: AtifStep) -> AtifStep:
    texts = [step.text for step in (first, second) if step.text.strip()]
    return replace(
        first,
        text="\n\n".join(texts),
        reasoning=join_reasoning(first.reasoning, second.reasoning),
        calls=first.calls + second.calls,
        results=first.results + second.results,
        context=first.context or second.context,
        problem=first.problem or second.problem,
        notes=first.notes + second.notes,
    )


@dataclass(frozen=True, kw_only=True)
class Agents:
    """The steps of a document by agent."""

    main: list[AtifStep]
    subagents: dict[str, list[AtifStep]]  # by id, or by number where no id is recorded
    mixed: list[AtifStep]  # of several sub-agents at once, which nothing tells apart


def by_agent(steps: Sequence[AtifStep]) -> Agents:
    """Return the steps of the main agent and those of each sub-agent that it called."""
    owners = list(_owners(steps))
    ids = {agent for side, agent in owners if side and agent}
    main: list[AtifStep] = []
    named: dict[str, list[AtifStep]] = {}
    unnamed: list[AtifStep] = []
    for step, (side, agent) in zip(steps, owners, strict=True):
        if not side:
            main.append(step)
        elif agent or len(ids) == 1:
            named.setdefault(agent or next(iter(ids)), []).append(step)
        else:
            unnamed.append(step)
    if not main and len(named) + bool(unnamed) == 1:  # the document of one sub-agent
        return Agents(main=list(steps), subagents={}, mixed=[])
    runs = _runs(unnamed, {prompt_of(call) for step in main for call in step.calls} - {""})
    if runs is None or (named and unnamed):
        return Agents(main=main, subagents=named, mixed=unnamed)
    numbered = {str(number): run for number, run in enumerate(runs, 1)}
    return Agents(main=main, subagents=named | numbered, mixed=[])


def _owners(steps: Sequence[AtifStep]) -> Iterator[tuple[bool, str | None]]:
    """Yield for each step whether it is a sub-agent's, and its id."""
    marked = [at for at, step in enumerate(steps) if step.side]
    agents = [step.agent for step in steps if step.side is None]
    main = None if None in agents or not agents else agents[0]
    # Old documents have all sub-agents first, and no mark on some messages of the user.
    first = bool(marked) and not any(step.side is False for step in steps[: marked[-1]])
    for at, step in enumerate(steps):
        if step.side is not None:
            yield step.side, step.agent
        elif step.agent != main:
            yield True, step.agent
        else:
            yield first and at < marked[-1], None


def prompt_of(call: AtifCall) -> str:
    """Return what a call gives a sub-agent to do, empty for any other call."""
    prompt = _object(call[1]).get("prompt")
    return prompt.strip() if isinstance(prompt, str) else ""


def _runs(steps: Sequence[AtifStep], prompts: set[str]) -> list[list[AtifStep]] | None:
    """Return the runs of sub-agents without ids, one after the other; None if they ran at the same time."""
    runs: list[list[AtifStep]] = []
    for step in steps:
        if step.source == "user" and step.text.strip() in prompts:
            if runs and not any(earlier.source == "agent" for earlier in runs[-1]):
                return None
            runs.append([step])
        elif runs:
            runs[-1].append(step)
        else:
            runs.append([step])
    return runs


def objects_of(steps: JSON) -> Iterable[JSONObject]:
    """Return those of the steps that are objects."""
    return _objects(steps)


def _text(holder: JSONObject, key: str) -> str | None:
    value = holder.get(key)
    return value if isinstance(value, str) and value else None


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
