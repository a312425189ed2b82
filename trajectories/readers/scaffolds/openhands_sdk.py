"""OpenHands SDK (V1): the event files of a conversation, or its events in a row of ``output.jsonl``."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from trajectories.conversation.context_turns import NO_JSON, REFUSED, as_context
from trajectories.conversation.events import Call, Event, Folded, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import row_facts, text_at
from trajectories.conversation.reasoning import reasoning_of
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, openai_reply, shell_text, text_of
from trajectories.readers.scaffolds.sdk_tree import Conversation, NotToldApart, conversations, is_turn, unique
from trajectories.sources.documents import Document
from trajectories.sources.sidecars import sidecar
from trajectories.types import JSON, Action, JSONObject, Trajectory

_OBSERVATIONS = {"ObservationEvent", "AgentErrorEvent", "UserRejectObservation"}
# Records of the program that no model saw.
_NOT_SEEN = {
    "SystemPromptEvent", "ConversationStateUpdateEvent", "HookExecutionEvent", "LLMCompletionLogEvent", "TokenEvent",
    "StreamingDeltaEvent", "PauseEvent", "InterruptEvent", "CondensationRequest", "CondensationSummaryEvent",
    "ResumeTranscriptEvent",
}  # fmt: skip
# Kept out, and told in the ledger under these names.
_TOLD = {
    "ACPToolCallEvent": "acp_call_without_its_tool",
    "Condensation": "condensation_not_applied",
    "ConversationErrorEvent": "conversation_error",
    "ServerErrorEvent": "conversation_error",
}
_UNKNOWN = "unknown_event"
_ERROR = "[An error occurred during execution.]\n"
_ADDED = ("security_risk", "summary")  # arguments that OpenHands asks for and no tool receives
_TEXTS = ("content", "output", "message")
_EVENTS = "events"  # the folder of the event files
_GENERIC_FOLDERS = {_EVENTS, "event_service"}
_EVENT_FILE = re.compile(r"(?:event[-_]?)?(?P<number>\d+)|event[-_]?(?P<first>\d+)[-_].*", re.ASCII)
_NO_MODEL = {"", "default", "unknown"}


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read the conversations of a log: ``document.value`` is the list of its events, as :func:`in_order` sorts them."""
    folders = [part for part in document.path.parts if part not in _GENERIC_FOLDERS]
    name = folders[-1] if folders and document.path.name in _GENERIC_FOLDERS else document.name
    values: Sequence[JSON] = document.value
    states = [value for value in values if is_state(value)] or [sidecar(document, 0, "base_state.json")]
    state: JSONObject = next((one for one in states if _state_model(one)), {})
    events = [value for value in values if not is_state(value)]
    yield from _read(events, {"instance_id": name}, state, document, ledger)


def read_row(row: JSONObject, document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row of an evaluation's ``output.jsonl``, or a bare list of events under ``history``."""
    llm = _object(_object(row.get("metadata")).get("llm"))
    yield from _read(row["history"], row, {"agent": {"llm": llm}}, document, ledger)


def conversation(document: Document) -> str:
    """Return what the events of a log have in common: their folder if each has a file, else their one file."""
    if is_state(document.value):
        return f"{document.origin.rpartition('/')[0]}/{_EVENTS}"
    alone = document.line is None and _number(document) is not None
    return document.origin.rpartition("/")[0] if alone else document.origin


def is_state(value: JSON) -> bool:
    """Return whether this is the state of a conversation, stored beside the folder of its events."""
    named = _object(_object(value).get("agent"))
    return isinstance(named.get("llm"), dict) and "confirmation_policy" in value and "kind" not in value


def in_order(documents: Sequence[Document]) -> list[Document]:
    """Sort the event files of a folder by their numbers; by time where these restart with a conversation, or lack.

    States come first.
    """
    if states := [one for one in documents if is_state(one.value)]:
        return states + in_order([one for one in documents if not is_state(one.value)])
    numbers = {id(one): number for one in documents if (number := _number(one)) is not None}
    if len(numbers) < len(documents):  # the lines of one file
        return sorted(documents, key=lambda one: (one.origin, one.line or 0))
    by_time = sorted(documents, key=lambda one: (_time(one), numbers[id(one)], one.origin))
    steps = ((later, numbers[id(later)] <= numbers[id(earlier)]) for earlier, later in pairwise(by_time))
    if all(_object(one.value).get("kind") == "SystemPromptEvent" for one, restarts in steps if restarts):
        return by_time
    return sorted(
        documents, key=lambda one: (numbers[id(one)], "" if numbers[id(one)] >= 0 else _time(one), one.origin)
    )


def _time(document: Document) -> str:
    return text_at(_object(document.value), "timestamp") or ""


def _number(document: Document) -> int | None:
    """Return the number of an event's own file, -1 if the file is named by the event's id, None for other files."""
    if match := _EVENT_FILE.fullmatch(document.name if document.line is None else ""):
        return int((match["number"] or match["first"])[:18])
    name = document.path.stem.replace("-", "").lower()
    event_id = text_at(_object(document.value), "id")
    return -1 if event_id and name.endswith(event_id.replace("-", "").lower()) else None


def _read(
    values: Sequence[JSON], row: JSONObject, state: JSONObject, document: Document, ledger: FileLedger
) -> Iterator[Trajectory]:
    events, twice, odd = unique(values)
    facts = row_facts(row)
    name = facts.instance_id or document.name
    _tell({"event_twice": twice, "not_an_event": odd}, document.position, ledger)
    try:
        found, missing = conversations(events)
    except NotToldApart as error:
        turns = sum(map(is_turn, events))
        ledger.trajectory(f"{document.position}: {error}", turns, reason="conversations_not_told_apart")
        return
    _tell({"parent_event_missing": missing}, document.position, ledger)
    for number, one in enumerate(found, 1):
        suffix = f"#{number}" if len(found) > 1 else ""
        model = _model(one) or facts.model or _state_model(state)
        _tell(_passed_over(one), f"{document.position}{suffix}", ledger)
        for number_inside, branch in enumerate(one.branches or [one.events], 1):
            inner = f"{suffix}#{number_inside}" if len(one.branches) > 1 else suffix
            folded = _folded(branch)
            yield from record(
                folded,
                document,
                ledger,
                source="openhands-sdk",
                instance_id=f"{name}{suffix}",
                trajectory_id=f"{facts.trajectory_id or name}{inner}",
                position=f"{document.position}{inner}",
                prompt=folded.prompt or text_of(row.get("instruction")),
                model=model,
                resolved=facts.resolved,
                patch=facts.patch,
                metadata=facts.metadata,
            )


def _tell(notes: Mapping[str, int], position: str, ledger: FileLedger) -> None:
    for what, times in notes.items():
        if times:
            ledger.note(what, position, times)


def _passed_over(one: Conversation) -> Counter[str]:
    """Count the events that are kept out: each ACP call once, whatever number of updates it has."""
    found: Counter[str] = Counter()
    calls: set[str] = set()
    for event in one.events:
        kind = event["kind"]
        if kind == "ACPToolCallEvent":
            calls.add(str(event.get("tool_call_id")))
        elif kind in _TOLD:
            found[_TOLD[kind]] += 1
        elif kind not in _OBSERVATIONS | _NOT_SEEN | {"ActionEvent", "MessageEvent"}:
            found[_UNKNOWN] += 1
    found[_TOLD["ACPToolCallEvent"]] = len(calls)
    found[REFUSED] = sum(event["kind"] == "ActionEvent" and _is_refused(event) for event in one.events)
    return found


def _model(one: Conversation) -> str | None:
    """Return the model that the updates of the conversation's state name, the agent's before a condenser's."""
    for event in one.events:
        if event["kind"] == "ConversationStateUpdateEvent":
            value = _object(event.get("value"))
            if model := _used_model(value.get("stats")) or _used_model(value) or _state_model(value):
                return model
    logged = (
        text_at(event, "model_name") for event in one.events if event["kind"] == "LLMCompletionLogEvent"
    )
    return next((model for model in logged if model and model not in _NO_MODEL), None)


def _used_model(stats: JSON) -> str | None:
    usage = _object(_object(stats).get("usage_to_metrics"))
    names = sorted(usage, key=lambda name: (name not in ("agent", "default"), "condenser" in name))
    found = (text_at(_object(usage[name]), "model_name") for name in names)
    return next((model for model in found if model and model not in _NO_MODEL), None)


def _state_model(state: JSONObject) -> str | None:
    return text_at(_object(_object(state.get("agent")).get("llm")), "model") or None


def _folded(events: Sequence[JSONObject]) -> Folded:
    """Fold the events of a branch. A turn with a refused call beside others is context only."""
    responses: dict[str, list[JSONObject]] = {}
    for event in events:
        if event["kind"] == "ActionEvent":
            responses.setdefault(_response(event), []).append(event)
    mixed = {name for name, actions in responses.items() if any(map(_is_refused, actions))}
    turns = [_response(event) for event in _first_of_turns(events)]
    return as_context(
        fold(_events(events, responses)), {n for n, name in enumerate(turns, 1) if name in mixed}
    )


def _first_of_turns(events: Sequence[JSONObject]) -> Iterator[JSONObject]:
    """Yield the event that each turn begins with."""
    seen: set[str] = set()
    for event in filter(is_turn, events):
        if event["kind"] != "ActionEvent" or _response(event) not in seen:
            yield event
        seen.update([_response(event)] if event["kind"] == "ActionEvent" else [])


def _events(events: Sequence[JSONObject], responses: Mapping[str, Sequence[JSONObject]]) -> Iterator[Event]:
    """Yield events. Actions of one response are one turn, wherever its other events are."""
    refused = {_call_id(event) for actions in responses.values() for event in actions if _is_refused(event)}
    firsts = {id(event) for event in _first_of_turns(events)}
    for event in events:
        kind = event["kind"]
        if id(event) in firsts:
            yield _reply(responses[_response(event)]) if kind == "ActionEvent" else _message(event)
        elif kind in _OBSERVATIONS:
            call_id = _call_id(event)
            # A refused call is no action that its error could be found by.
            ids = (call_id,) if call_id and call_id not in refused else ()
            yield Result(text=_with_context(_observation(event), event), call_ids=ids)
        elif kind == "MessageEvent":
            yield UserMessage(
                text=_with_context(text_of(_object(event.get("llm_message")).get("content")), event)
            )


def _message(event: JSONObject) -> Reply:
    message = _object(event.get("llm_message"))
    text = _with_context(text_of(message.get("content")), event)
    return make_reply(text, [], _reasoning(message))


def _response(event: JSONObject) -> str:
    return str(event.get("llm_response_id") or event.get("id"))


def _call_id(event: JSONObject) -> str:
    call_id = event.get("tool_call_id") or _object(event.get("tool_call")).get("id")
    return str(call_id) if call_id else ""


def _reasoning(holder: JSONObject) -> str:
    return reasoning_of(holder) or reasoning_of({"reasoning": holder.get("responses_reasoning_item")})


def _with_context(text: str, event: JSONObject) -> str:
    """Return a message or result with what the agent's context added: skills, rules of the touched path, hooks."""
    return "\n".join(part for part in (text, text_of(event.get("extended_content"))) if part)


def _observation(event: JSONObject) -> str:
    observation = event.get("observation")
    if isinstance(observation, dict):
        # Early versions have a field of their own for each tool's text, and an error beside it.
        error = observation.get("error")
        text = text_of(next((observation[key] for key in _TEXTS if observation.get(key)), None))
        text = "\n".join(part for part in (text, error) if isinstance(part, str) and part)
        header = _ERROR if observation.get("is_error") is True else ""
        return header + shell_text(text, observation.get("metadata"))
    if event["kind"] == "UserRejectObservation" and event.get("rejection_reason"):
        return f"Action rejected: {text_of(event['rejection_reason'])}"
    return text_of(event.get("error") or observation)


def _called(event: JSONObject) -> JSONObject:
    """Return the call as the model made it, in logs without it the tool's name and what the tool received."""
    call = _object(event.get("tool_call"))
    call = _object(call.get("function")) or call
    if call.get("name"):
        return call
    received = {key: value for key, value in _object(event.get("action")).items() if key != "kind"}
    return {"name": event.get("tool_name"), "arguments": call.get("arguments", received)}


def _is_refused(event: JSONObject) -> bool:
    """Return whether a call's arguments were no JSON object; from 1.58 on a placeholder takes their place."""
    if event.get("action") is not None:
        return False
    reply = openai_reply("", [{"name": "any", "arguments": _called(event).get("arguments")}])
    return not reply.calls or NO_JSON in reply.calls[0].action.arguments


def _reply(actions: Sequence[JSONObject]) -> Reply:
    """Make the turn of a response. A refused call is no action: a turn of nothing else shows it as text."""
    thought = next((text for event in actions if (text := text_of(event.get("thought")))), "")
    reasoning = next((text for event in actions if (text := _reasoning(event))), "")
    calls: list[Call] = []
    for event in actions:
        called = _called(event)
        if _is_refused(event):
            thought = thought or f"{called.get('name')}({called.get('arguments')})"
            continue
        reply = openai_reply(thought, [called])
        if reply.problem:
            return Reply(thought=thought, reasoning=reasoning, problem=reply.problem)
        action, received = reply.calls[0].action, _object(event.get("action"))
        arguments = {k: v for k, v in action.arguments.items() if k not in _ADDED or k in received}
        calls.append(
            Call(action=Action(name=action.name, arguments=arguments), call_id=_call_id(event) or None)
        )
    return replace(make_reply(thought, [], reasoning), calls=tuple(calls))


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
