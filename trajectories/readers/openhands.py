"""OpenHands V0: event lists, lines of ``output.jsonl``, and the older pairs of action and observation."""

from collections.abc import Iterable, Iterator

from trajectories.ledger import FileLedger
from trajectories.readers.chat import BAD_ARGUMENTS, openai_reply, shell_text, text_of
from trajectories.readers.events import Call, Event, Reply, Result, UserMessage, fold, record
from trajectories.readers.fields import as_object, texts_at, value_at
from trajectories.sources.documents import Document
from trajectories.types import JSON, Action, JSONObject, Trajectory

_NO_TURN = {"system", "recall", "change_agent_state", "start", "null", "pause", "resume", "condensation"}
# Fields that OpenHands keeps beside the arguments of an action; no tool received them.
_BOOKKEEPING = {
    "action", "action_risk", "args", "blocking", "cause", "confirmation_state", "hidden", "id", "image_urls",
    "images_urls", "impl_source", "is_confirmed", "is_static", "keep_prompt", "kernel_init_code", "message",
    "security_risk", "source", "thought", "timeout", "timestamp", "translated_ipython_code",
    "wait_for_response",
}  # fmt: skip


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a line of ``output.jsonl`` or a bare list of events."""
    row = as_object(document.value, "history")
    folded = fold(_events(_flat(row["history"])))
    issue = row.get("issue") or {}
    metadata = texts_at(row.get("instance") or {}, "repo", "base_commit")  # of the benchmark's row
    if issue:
        metadata["repo"] = f"{issue.get('owner')}/{issue.get('repo')}"
    yield from record(
        folded,
        document,
        ledger,
        source="openhands",
        instance_id=row.get("instance_id") or _issue_id(issue),
        prompt=folded.prompt or text_of(row.get("instruction")),
        model=value_at(row, "metadata", "llm_config", "model"),
        patch=row.get("git_patch") or value_at(row, "test_result", "git_patch") or None,
        metadata=metadata,
    )


def _issue_id(issue: JSONObject) -> str | None:
    return f"{issue['owner']}__{issue['repo']}-{issue['number']}" if "number" in issue else None


def _flat(history: Iterable[JSON]) -> Iterator[JSONObject]:
    for entry in history:
        yield from entry if isinstance(entry, list) else [entry]


def _events(history: Iterable[JSONObject]) -> Iterator[Event]:
    """Yield events. Several actions of one model response are one turn; without the response each action is one."""
    pending: list[tuple[str | None, Reply]] = []
    for index, event in enumerate(history):
        if "observation" in event:
            if event["observation"] not in ("agent_state_changed", "recall", "null"):
                yield from _merged(pending)
                cause = event.get("cause")
                ids = () if cause is None else (str(cause),)
                text = shell_text(text_of(event.get("content")), value_at(event, "extras", "metadata"))
                yield Result(text=text, call_ids=ids)
        elif _is_user(event, index):
            yield from _merged(pending)
            if event.get("action") == "message":
                yield UserMessage(text=text_of((event.get("args") or event).get("content")))
        elif event.get("source", "agent") == "agent" and event.get("action") not in _NO_TURN:
            response = value_at(event, "tool_call_metadata", "model_response", "id")
            if pending and (response is None or response != pending[-1][0]):
                yield from _merged(pending)
            pending.append((response, _reply(event)))
    yield from _merged(pending)


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
        yield Reply(thought=replies[0].thought, calls=calls, problem=problem)


def _reply(event: JSONObject) -> Reply:
    """Read the call as the model made it if the event holds the response, else the action as OpenHands stores it."""
    args = event.get("args") or event
    call_id = None if event.get("id") is None else str(event["id"])
    if event["action"] == "message":
        return Reply(thought=text_of(args.get("content")))
    raw = _raw_call(event)
    if raw is None:
        arguments = {key: value for key, value in args.items() if key not in _BOOKKEEPING}
        call = Call(action=Action(name=event["action"], arguments=arguments), call_id=call_id)
        return Reply(thought=text_of(args.get("thought")), calls=(call,))
    message, tool_call = raw
    reply = openai_reply(text_of(message.get("content")), [tool_call])
    if reply.problem:
        return Reply(thought=reply.thought, problem=BAD_ARGUMENTS)
    return Reply(thought=reply.thought, calls=(Call(action=reply.calls[0].action, call_id=call_id),))


def _raw_call(event: JSONObject) -> tuple[JSONObject, JSONObject] | None:
    """Return the assistant message, and the tool call in it, that this event came from."""
    metadata = event.get("tool_call_metadata") or {}
    for choice in value_at(metadata, "model_response", "choices") or []:
        message = choice.get("message") or {}
        for tool_call in message.get("tool_calls") or []:
            if tool_call.get("id") == metadata.get("tool_call_id"):
                return message, tool_call
    return None
