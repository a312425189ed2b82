"""Standard rows of the Agent Data Protocol: actions and observations in ``content``, each with ``class_``."""

import json
from collections.abc import Iterator
from dataclasses import replace

from trajectories.conversation.events import Event, Reply, Result, UserMessage, issue_text, record
from trajectories.conversation.fields import row_facts
from trajectories.conversation.reasoning import join_reasoning
from trajectories.conversation.turns import Note, notes_of
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import as_id, make_reply, text_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_TOOL_ACTIONS = ("api_action", "code_action")
_OBSERVATIONS = ("text_observation", "web_observation", "image_observation", "json_observation")
_WEB_TEXTS = ("axtree", "html")  # the first one that is there


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row."""
    row = document.value
    details = row.get("details")
    facts = row_facts({**row, "metadata": details})
    row_id = row.get("id") if isinstance(row.get("id"), str) else None
    asked = "\n\n".join(_asked(row["content"]))
    yield from record(
        adp_events(row["content"], notes_of(document, ledger)),
        document,
        ledger,
        source="adp",
        instance_id=facts.instance_id or row_id,
        trajectory_id=row_id,
        task=issue_text(asked) if asked else None,
        model=facts.model,
        resolved=facts.resolved,
        patch=facts.patch,
        metadata=facts.metadata,
    )


def adp_events(content: list[JSON], note: Note) -> Iterator[Event]:
    """Yield replies and what came back.

    A message that an action follows without an observation between them is the thought of that action. Actions are one
    turn if the later one was made before the earlier one's result.
    """
    answered = _answers(content)
    reply: Reply | None = None  # the turn that may still grow
    until = -1  # the last observation of its calls
    acted = False
    for place, item in enumerate(content):
        kind = item.get("class_") if isinstance(item, dict) else None
        if kind in _TOOL_ACTIONS or kind == "message_action":
            action = _reply(item)
            open_ended = reply is not None and not reply.calls and not reply.problem
            if reply is not None and (open_ended or (until > place and action.calls)):
                reply = _joined(reply, action)
            else:
                if reply is not None:
                    yield reply
                reply, until = action, -1
            acted = True
            until = max(until, *(answered.get(call.call_id or "", -1) for call in action.calls), -1)
            continue
        if reply is not None:
            yield reply
            reply = None
        if kind in _OBSERVATIONS:
            if acted or item.get("source") != "system":
                yield _observed(item, acted)
        else:
            note("item_not_understood")
    if reply is not None:
        yield reply


def _asked(content: list[JSON]) -> Iterator[str]:
    """Yield what the user says before the first action; the environment may say its own prompt there."""
    for item in content:
        kind = item.get("class_") if isinstance(item, dict) else None
        if kind in (*_TOOL_ACTIONS, "message_action"):
            return
        if kind == "text_observation" and item.get("source") == "user" and (text := _observation_text(item)):
            yield text


def _answers(content: list[JSON]) -> dict[str, int]:
    """Return the place of each call's observation by the call's id."""
    items = [(place, item) for place, item in enumerate(content) if isinstance(item, dict)]
    observed = [(place, item) for place, item in items if item.get("class_") in _OBSERVATIONS]
    return {call_id: place for place, item in observed if (call_id := as_id(item.get("tool_call_id")))}


def _reply(item: JSONObject) -> Reply:
    said = [text_of(item.get("description"))]
    calls: list[tuple[JSON, JSON, JSON]] = []
    call_id = item.get("tool_call_id")
    if item["class_"] == "message_action":
        said.append(text_of(item.get("content")))
    elif item["class_"] == "api_action":
        calls.append((item.get("function"), item.get("kwargs"), call_id))
    else:
        calls.append(_code_call(item))
    reasoning = item.get("reasoning_content")
    thought = "\n\n".join(text for text in said if text)
    return make_reply(thought, calls, reasoning if isinstance(reasoning, str) else "")


def _code_call(item: JSONObject) -> tuple[JSON, JSON, JSON]:
    """Return the call of code: a shell line as the tool bash, any other under the name of its language."""
    language = item.get("language")
    if language in ("bash", "sh", "shell"):
        return "bash", {"command": text_of(item.get("content"))}, item.get("tool_call_id")
    return language, {"code": text_of(item.get("content"))}, item.get("tool_call_id")


def _joined(reply: Reply, more: Reply) -> Reply:
    thought = "\n\n".join(text for text in (reply.thought, more.thought) if text)
    return replace(
        reply,
        thought=thought,
        calls=reply.calls + more.calls,
        reasoning=join_reasoning(reply.reasoning, more.reasoning),
        problem=reply.problem or more.problem,
    )


def _observed(item: JSONObject, acted: bool) -> Event:
    text, call_id = _observation_text(item), as_id(item.get("tool_call_id"))
    if call_id and acted:
        return Result(text=text, call_ids=(call_id,))
    return UserMessage(text=text) if not acted or item.get("source") == "user" else Result(text=text)


def _observation_text(item: JSONObject) -> str:
    if item["class_"] == "image_observation":
        return "[image]"
    if item["class_"] == "web_observation":
        page = next((text for key in _WEB_TEXTS if (text := text_of(item.get(key)))), "")
        image = "[image]" if item.get("image_observation") else ""
        return "\n".join(text for text in (text_of(item.get("url")), page, image) if text)
    content = item.get("content")
    if item["class_"] == "json_observation" and not isinstance(content, str):
        return json.dumps(content, ensure_ascii=False)
    return text_of(content)
