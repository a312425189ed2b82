"""OpenHands V0: event lists, lines of ``output.jsonl``, and the older pairs of action and observation."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import Event, Reply, Result, UserMessage, fold, record
from trajectories.conversation.fields import as_object, row_facts, text_at, texts_at, verdict
from trajectories.conversation.reasoning import reasoning_of
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, openai_reply, shell_text, text_of
from trajectories.readers.scaffolds import openhands_sdk
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_NO_TURN = {
    "None",
    "system",
    "recall",
    "change_agent_state",
    "start",
    "null",
    "pause",
    "resume",
    "condensation",
}
# Fields that OpenHands keeps beside the arguments of an action; no tool received them.
_BOOKKEEPING = {
    "action", "action_risk", "args", "blocking", "cause", "confirmation_state", "hidden", "id", "image_urls",
    "images_urls", "impl_source", "is_confirmed", "is_static", "keep_prompt", "kernel_init_code", "message",
    "security_risk", "source", "thought", "timeout", "timestamp", "translated_ipython_code",
    "wait_for_response",
}  # fmt: skip

# What OpenHands writes under such a result before the model sees it.
_ENDINGS = {
    "error": "\n[Error occurred in processing last action]",
    "user_rejected": "\n[Last action has been rejected by the user]",
}
_RECALLED = ("microagent_knowledge", "repo_instructions", "conversation_instructions")


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a line of ``output.jsonl`` or a bare list of events; events of the SDK (V1) go to its own reader."""
    row = as_object(document.value, "history")
    history = list(_flat(row["history"]))
    if history and "kind" in history[0]:
        yield from openhands_sdk.read_row({**row, "history": history}, document, ledger)
        return
    for what, times in _passed_over(history).items():
        ledger.note(what, document.position, times)
    folded = fold(_events(history))
    facts = row_facts(row)
    issue = _object(row.get("issue"))
    metadata = facts.metadata | texts_at(_object(row.get("instance")), "repo", "base_commit")
    if issue:
        metadata["repo"] = f"{issue.get('owner')}/{issue.get('repo')}"
    yield from record(
        folded,
        document,
        ledger,
        source="openhands",
        instance_id=facts.instance_id or _issue_id(issue),
        prompt=folded.prompt or text_of(row.get("instruction")),
        model=text_at(_object(_object(row.get("metadata")).get("llm_config")), "model")
        or facts.model
        or _answering_model(history),
        resolved=_verdict(row) if facts.resolved is None else facts.resolved,
        patch=facts.patch,
        metadata=metadata,
    )


def _answering_model(history: Sequence[JSONObject]) -> str | None:
    """Return the model that the first stored response names."""
    found = (text_at(_response(event), "model") for event in history)
    return next((model for model in found if model), None)


def _response(event: JSONObject) -> JSONObject:
    return _object(_object(event.get("tool_call_metadata")).get("model_response"))


def _verdict(row: JSONObject) -> bool | None:
    """Return the verdict of the report that the evaluation's scripts add to a row."""
    test_result = _object(row.get("test_result"))
    reports = (row.get("report"), test_result.get("report"), test_result.get("result"))
    return next((found for report in reports if (found := verdict(_object(report))) is not None), None)


def _issue_id(issue: JSONObject) -> str | None:
    return f"{issue.get('owner')}__{issue.get('repo')}-{issue['number']}" if "number" in issue else None


def _flat(history: Iterable[JSON]) -> Iterator[JSONObject]:
    for entry in history:
        for event in entry if isinstance(entry, list) else [entry]:
            yield event if isinstance(event, dict) else {}


def _passed_over(history: Sequence[JSONObject]) -> Counter[str]:
    """Count what is kept out although the model saw it, and what is no event."""
    found: Counter[str] = Counter()
    for event in history:
        extras = _object(event.get("extras"))
        if event.get("observation") == "recall" and any(extras.get(key) for key in _RECALLED):
            found["recall_not_kept"] += 1
        elif event.get("action") == "condensation":
            found["condensation_not_applied"] += 1
        elif "action" not in event and "observation" not in event and not _is_message(event):
            found["unknown_event"] += 1
    return found


def _is_message(event: JSONObject) -> bool:
    return event.get("source") == "user" and "content" in event


def _events(history: Sequence[JSONObject]) -> Iterator[Event]:
    """Yield events. Several actions of one model response are one turn; without the response each action is one."""
    pending: list[tuple[str | None, Reply]] = []
    for index, event in enumerate(history):
        if "observation" in event:
            if str(event["observation"]) not in ("agent_state_changed", "recall", "null"):
                yield from _merged(pending)
                cause = event.get("cause")
                yield Result(text=_observation(event), call_ids=() if cause is None else (str(cause),))
        elif _is_user(event, index):
            yield from _merged(pending)
            if event.get("action") == "message" or _is_message(event):
                yield UserMessage(text=text_of((_object(event.get("args")) or event).get("content")))
        elif event.get("source", "agent") == "agent" and str(event.get("action")) not in _NO_TURN:
            response = text_at(_response(event), "id")
            if pending and (response is None or response != pending[-1][0]):
                yield from _merged(pending)
            pending.append((response, _reply(event)))
    yield from _merged(pending)


def _observation(event: JSONObject) -> str:
    """Return a result as the model saw it: OpenHands adds how a command ended, and that an action failed."""
    extras = _object(event.get("extras"))
    outputs = _object(extras.get("outputs")) if event["observation"] == "delegate" else {}
    text = shell_text(text_of(outputs.get("content") or event.get("content")), extras.get("metadata"))
    return text + _ENDINGS.get(str(event["observation"]), "")


def _is_user(event: JSONObject, index: int) -> bool:
    # The oldest files name no source: there the first event is the user's message.
    return bool(event.get("source") == "user" or ("source" not in event and index == 0))


def _merged(pending: list[tuple[str | None, Reply]]) -> Iterator[Reply]:
    """Yield the pending replies as one turn, and empty the list."""
    if pending:
        replies = [reply for _, reply in pending]
        pending.clear()
        calls = tuple(call for reply in replies for call in reply.calls)
        problem = next((reply.problem for reply in replies if reply.problem), None)
        yield replace(replies[0], calls=calls, problem=problem)


def _reply(event: JSONObject) -> Reply:
    """Read the call as the model made it if the event holds the response, else the action as OpenHands stores it."""
    args = _object(event.get("args")) or event
    call_id = None if event.get("id") is None else str(event["id"])
    if event["action"] == "message":
        return make_reply(text_of(args.get("content")), [], _reasoning(event))
    raw = _raw_call(event)
    if raw is None:
        arguments = {key: value for key, value in args.items() if key not in _BOOKKEEPING}
        return make_reply(text_of(args.get("thought")), [(event["action"], arguments, call_id)])
    message, tool_call = raw
    reply = openai_reply(text_of(message.get("content")), [tool_call], reasoning_of(message))
    if reply.problem:
        return reply
    return replace(reply, calls=(replace(reply.calls[0], call_id=call_id),))


def _messages(event: JSONObject) -> list[JSONObject]:
    """Return the assistant messages of the response that this event came from."""
    response = _response(event)
    choices = response.get("choices")
    return [
        _object(_object(choice).get("message")) for choice in (choices if isinstance(choices, list) else [])
    ]


def _reasoning(event: JSONObject) -> str:
    return next((text for message in _messages(event) if (text := reasoning_of(message))), "")


def _raw_call(event: JSONObject) -> tuple[JSONObject, JSONObject] | None:
    """Return the assistant message, and the tool call in it, that this event came from."""
    wanted = _object(event.get("tool_call_metadata")).get("tool_call_id")
    for message in _messages(event):
        calls = message.get("tool_calls")
        for tool_call in calls if isinstance(calls, list) else []:
            if _object(tool_call).get("id") == wanted:
                return message, tool_call
    return None


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}
