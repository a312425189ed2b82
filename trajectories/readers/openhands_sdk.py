"""OpenHands SDK v1: the event files of one conversation."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_reply, shell_text, text_of
from trajectories.readers.events import Call, Event, Reply, Result, Said, admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import Action, Trajectory

SOURCE = "openhands-sdk"

_OBSERVATIONS = {"ObservationEvent", "AgentErrorEvent", "UserRejectObservation"}
_ADDED = ("security_risk", "summary")  # arguments that OpenHands asks for and no tool receives
_TEXTS = ("content", "output", "message")
_GENERIC_FOLDERS = {"events", "event_service"}


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """``document.value`` is the list of all events, in the order of their files."""
    events: Sequence[Mapping[str, Any]] = document.value
    folded = fold(_events(events))
    task = issue_text(folded.prompt)
    names = [part for part in document.path.parts if part not in _GENERIC_FOLDERS]
    name = names[-1] if names else document.name
    yield from admit(
        Trajectory(
            trajectory_id=name,
            instance_id=name,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            metadata={} if task == folded.prompt.strip() else {"prompt": folded.prompt},
        ),
        folded,
        ledger,
        document.position,
    )


def _events(events: Sequence[Mapping[str, Any]]) -> Iterator[Event]:
    """Actions of one response are one turn, wherever its other events stand."""
    responses: dict[str, list[Mapping[str, Any]]] = {}
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
            text = text_of((event.get("llm_message") or {}).get("content"))
            yield Reply(thought=text) if event.get("source") == "agent" else Said(text=text)


def _observation(event: Mapping[str, Any]) -> str:
    observation = event.get("observation")
    if isinstance(observation, Mapping):
        # Early versions have a field of their own for each tool's text, and an error beside it.
        error = observation.get("error")
        text = text_of(next((observation[key] for key in _TEXTS if observation.get(key)), None))
        text = "\n".join(part for part in (text, error) if isinstance(part, str) and part)
        return shell_text(text, observation.get("metadata"))
    return text_of(event.get("error") or event.get("rejection_reason"))


def _reply(actions: Sequence[Mapping[str, Any]]) -> Reply:
    thought = text_of(actions[0].get("thought"))
    calls: list[Call] = []
    for event in actions:
        reply = openai_reply(thought, [event.get("tool_call") or {}])
        if reply.problem:
            return reply
        received = event.get("action") or {}
        action = reply.calls[0].action
        arguments = {k: v for k, v in action.arguments.items() if k not in _ADDED or k in received}
        calls.append(
            Call(action=Action(name=action.name, arguments=arguments), call_id=event.get("tool_call_id"))
        )
    return Reply(thought=thought, calls=tuple(calls))
