"""OpenHands SDK v1: the event files of one conversation."""

from collections.abc import Iterator, Mapping, Sequence

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_reply, shell_text, text_of
from trajectories.readers.events import Call, Event, Reply, Result, UserMessage, record
from trajectories.readers.fields import value_at
from trajectories.sources.documents import Document
from trajectories.types import Action, JSONObject, Trajectory

_OBSERVATIONS = {"ObservationEvent", "AgentErrorEvent", "UserRejectObservation"}
_ADDED = ("security_risk", "summary")  # arguments that OpenHands asks for and no tool receives
_TEXTS = ("content", "output", "message")
_GENERIC_FOLDERS = {"events", "event_service"}


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a conversation: ``document.value`` is the list of its events, in the order of their files."""
    names = [part for part in document.path.parts if part not in _GENERIC_FOLDERS]
    name = names[-1] if names else None
    yield from record(_events(document.value), document, ledger, source="openhands-sdk", instance_id=name)


def conversation(document: Document) -> str:
    """Return what the events of a conversation have in common: their folder, or the file that holds one a line."""
    return document.origin.rpartition("/")[0] if document.line is None else document.origin


def _events(events: Sequence[JSONObject]) -> Iterator[Event]:
    """Yield events. Actions of one response are one turn, wherever its other events are."""
    responses: dict[str, list[JSONObject]] = {}
    for event in events:
        if event["kind"] == "ActionEvent":
            responses.setdefault(event.get("llm_response_id") or event["id"], []).append(event)
    for event in events:
        kind = event["kind"]
        if kind == "ActionEvent":
            if actions := responses.pop(event.get("llm_response_id") or event["id"], None):
                yield _reply(actions)
        elif kind in _OBSERVATIONS:
            call_id = event.get("tool_call_id")
            yield Result(text=_observation(event), call_ids=(call_id,) if call_id else ())
        elif kind == "MessageEvent":
            text = text_of(value_at(event, "llm_message", "content"))
            yield Reply(thought=text) if event.get("source") == "agent" else UserMessage(text=text)


def _observation(event: JSONObject) -> str:
    observation = event.get("observation")
    if isinstance(observation, Mapping):
        # Early versions have a field of their own for each tool's text, and an error beside it.
        error = observation.get("error")
        text = text_of(next((observation[key] for key in _TEXTS if observation.get(key)), None))
        text = "\n".join(part for part in (text, error) if isinstance(part, str) and part)
        return shell_text(text, observation.get("metadata"))
    return text_of(event.get("error") or event.get("rejection_reason"))


def _reply(actions: Sequence[JSONObject]) -> Reply:
    thought = text_of(actions[0].get("thought"))
    calls: list[Call] = []
    for event in actions:
        reply = openai_reply(thought, [event.get("tool_call") or {}])
        if reply.problem:
            return reply
        received = event.get("action") or {}
        action = reply.calls[0].action
        arguments = {k: v for k, v in action.arguments.items() if k not in _ADDED or k in received}
        action = Action(name=action.name, arguments=arguments)
        calls.append(Call(action=action, call_id=event.get("tool_call_id")))
    return Reply(thought=thought, calls=tuple(calls))
