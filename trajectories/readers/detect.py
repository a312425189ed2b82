"""Detection of a document's format by its structure: fields, roles, names of schemas. Never by words of a reply."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from trajectories.conversation.fields import first_of, has, objects_of
from trajectories.readers.chat.exchange import column_of, loaded, messages_in
from trajectories.readers.chat.recognise import chat_formats, marks_of
from trajectories.readers.scaffolds.openhands_sdk import is_state
from trajectories.readers.unknown import describe
from trajectories.types import JSON

_FIRST_LINE = 100_000  # characters of a text that may be a log
_OF_OPENHANDS = ("action", "observation")
_ITEM_ENDINGS = ("_call", "_call_output")  # of the types of items of the Responses API
_CODEX_HEAD = {"id", "timestamp", "instructions", "git"}
_CODEX_LINES = {"session_meta", "response_item", "turn_context", "event_msg", "compacted"}
_STREAM_TYPES = {"system", "assistant", "user", "result", "stream_event"}
_MINI_INFO = ("mini_version", "model_stats", "exit_status", "submission", "config")


class UnknownFormat(ValueError):
    """No format, or more than one, fits; the message lists the formats."""


@dataclass(frozen=True, kw_only=True)
class Detected:
    """A format, and the structure that it was recognised by."""

    name: str
    why: str


def detect(value: JSON) -> Detected:
    """Return the one format that fits. Raises UnknownFormat.

    >>> detect({"trajectory_format": "mini-swe-agent-1.1", "info": {}, "messages": []})
    Detected(name='mini-swe-agent', why='`trajectory_format` names it')
    """
    try:
        found = [Detected(name=name, why=why) for name, fits in _FORMATS.items() if (why := fits(value))]
        found = found or [Detected(name=name, why=why) for name, why in chat_formats(value)]
    except RecursionError as error:
        raise UnknownFormat("nested too deeply to be looked at") from error
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(one.name for one in found)
        raise UnknownFormat(f"looks like {names} at once; choose one with --format")
    raise UnknownFormat(
        f"{describe(value)}{_inner_log(value)} is of none of the formats {', '.join(FORMAT_NAMES)}"
    )


def _inner_log(value: JSON) -> str:
    """Say which field of an object holds a log as a text, and what to do with it; empty if none does."""
    texts = value.items() if isinstance(value, dict) else ()
    for key, text in texts:
        first = text.lstrip()[:_FIRST_LINE].partition("\n")[0] if isinstance(text, str) else ""
        line = loaded(first)
        found = [name for name, fits in _FORMATS.items() if isinstance(line, dict) and fits(line)]
        if found:
            return (
                f" whose `{str(key)[:40]}` is a log of {found[0]}: write that text to a file of its own; it"
            )
    return ""


def _atif(value: JSON) -> str | None:
    if has(value, schema_version=str, steps=list) and value["schema_version"].startswith("ATIF-"):
        return f"`schema_version` is {value['schema_version'][:20]}"
    return None


def _adp(value: JSON) -> str | None:
    if has(value, content=list) and any("class_" in item for item in objects_of(value["content"])):
        return "`content` holds items with `class_`"
    return None


def _claude_code(value: JSON) -> str | None:
    if not has(value, type=str) or _iflow(value) or _qwen_code(value):
        return None
    if value["type"] in ("user", "assistant"):
        return "a line with `type`, `uuid` and `sessionId`" if has(value, sessionId=str, uuid=str) else None
    marks = next((key for key in ("sessionId", "leafUuid", "snapshot") if key in value), None)
    return f"a line with `type` and `{marks}`" if marks else None


def _claude_stream(value: JSON) -> str | None:
    where = "a list of lines" if isinstance(value, list) else "a line"
    for line in objects_of(value) if isinstance(value, list) else [value]:
        if not has(line, type=str) or line["type"] not in _STREAM_TYPES:
            continue
        mark = "session_id" if has(line, session_id=str) else "parent_tool_use_id"
        if mark in line and (mark == "session_id" or has(line, message=dict)):
            return f"{where} with `type` and `{mark}`"
    return None


def _codex(value: JSON) -> str | None:
    if has(value, type=str, payload=dict) and ("timestamp" in value or value["type"] in _CODEX_LINES):
        return "a line of `timestamp`, `type`, `payload`"
    if has(value, id=str, timestamp=str) and value.keys() <= _CODEX_HEAD:
        return "a first line of `id` and `timestamp`, perhaps `instructions` and `git`"
    if has(value, type=str, thread_id=str) and value["type"] == "thread.started":
        return "a line of type thread.started with `thread_id`"
    fits = has(value, type=str, item=dict) and value["type"].startswith("item.")
    return f"a line of type {value['type'][:20]} with `item`" if fits else None


def _gemini(value: JSON) -> str | None:
    if has(value, sessionId=str, projectHash=str):
        return "`sessionId` and `projectHash`"
    # The first versions that kept sessions wrote no hash.
    fits = has(value, sessionId=str, messages=list) and has(first_of(value["messages"]), type=str)
    return "`sessionId` and `messages` with `type`" if fits and "uuid" not in value else None


def _iflow(value: JSON) -> str | None:
    if not has(value, uuid=str, sessionId=str, type=str) or "requestId" in value:
        return None
    if has(value, message=dict) and str(value["message"].get("id")).startswith("response-"):
        return "a line with `uuid`, whose message has an `id` that begins with response-"
    if value["sessionId"].startswith("session-"):
        return "a line with `uuid`, and a `sessionId` that begins with session-"
    return None


def _inspect(value: JSON) -> str | None:
    if has(value, eval=dict) and any(key in value for key in ("samples", "status")):
        return "a log with `eval` and `samples`" if "samples" in value else "a log with `eval` and `status`"
    if has(value, samples=list) and has(first_of(value["samples"]), epoch=int, messages=list):
        return "a log whose `samples` have `epoch` and `messages`"
    return "a sample with `epoch` and `messages`" if has(value, epoch=int, messages=list) else None


def _math(value: JSON) -> str | None:
    row = first_of(value) if isinstance(value, list) else value
    asked = next((key for key in ("question", "problem") if has(row, **{key: str})), None)
    fits = asked and has(row, solution=str) and not _s1k(value)
    # A run on a task may have the task's own columns beside it.
    return f"`{asked}` and `solution`" if fits and not _holds_run(row) else None


def _holds_run(row: JSON) -> bool:
    """Return whether a row holds a rollout or a chat with tools beside its other columns."""
    if has(row, responses_create_params=dict):
        return True
    column = column_of(row) if isinstance(row, dict) else None
    listed = objects_of(messages_in(row[column])) if column else []
    return any(True for message in listed for _ in marks_of(message))


def _mini(value: JSON) -> str | None:
    if not has(value, messages=list):
        return None
    if str(value.get("trajectory_format", "")).startswith("mini-swe-agent"):
        return "`trajectory_format` names it"
    info = value.get("info")
    found = [key for key in _MINI_INFO if isinstance(info, dict) and key in info]
    return f"`messages` beside `info` with `{found[0]}`" if found else None


def _moatless(value: JSON) -> str | None:
    return (
        "`nodes` with `node_id`"
        if has(value, nodes=list) and has(first_of(value["nodes"]), node_id=int)
        else None
    )


def _opencode(value: JSON) -> str | None:
    messages = value["messages"] if has(value, messages=list) else value
    return "messages with `info` and `parts`" if has(first_of(messages), info=dict, parts=list) else None


def _opencode_stream(value: JSON) -> str | None:
    if not has(value, type=str, sessionID=str):
        return None
    mark = next((key for key in ("part", "error") if isinstance(value.get(key), dict)), None)
    return f"a line with `type`, `sessionID` and `{mark}`" if mark else None


def _openhands(value: JSON) -> str | None:
    where, events = "a list", value
    if has(value, history=list) and not isinstance(value.get("trajectory"), list):
        where, events = "`history`", value["history"]
    event = first_of(events)
    event = first_of(event) if isinstance(event, list) else event
    if not isinstance(event, dict) or "role" in event:
        return None
    if _sdk_event(event):
        return f"{where} of events with `kind`"
    mark = next((key for key in _OF_OPENHANDS if key in event), None)
    return f"{where} of events with `{mark}`" if mark else None


def _sdk(value: JSON) -> str | None:
    if is_state(value):
        return "the state of a conversation: `agent` with `llm`, and `confirmation_policy`"
    return _sdk_event(value)


def _sdk_event(value: JSON) -> str | None:
    fits = has(value, kind=str, id=str, timestamp=str, source=str)
    return "an event with `kind`, `id` and `source`" if fits else None


def _pi(value: JSON) -> str | None:
    if has(value, type=str, timestamp=str) and value["type"] == "session" and "steps" not in value:
        mark = next((key for key in ("id", "cwd") if isinstance(value.get(key), str)), None)
        return f"a line of type session with `{mark}` and `timestamp`" if mark else None
    if has(value, type=str, id=str, message=dict) and "parentId" in value:
        return "a line with `message` and `parentId`"
    return None


def _pivot(value: JSON) -> str | None:
    fits = has(value, responses_create_params=dict, expected_action=dict)
    return "`responses_create_params` and `expected_action`" if fits else None


def _qwen_code(value: JSON) -> str | None:
    if not has(value, sessionId=str, uuid=str):
        return None
    if has(value, message=dict) and isinstance(value["message"].get("parts"), list):
        return "a line with `sessionId`, whose message has `parts`"
    return "a line with `sessionId` and `systemPayload`" if has(value, systemPayload=dict) else None


def _r2e_gym(value: JSON) -> str | None:
    return "`trajectory_steps`" if has(value, trajectory_steps=list) else None


def _responses(value: JSON) -> str | None:
    """Accept a response, a request with one, NeMo Gym's rollout, or anything with items of the API's types."""
    items = value
    if any(name == "mini-swe-agent" for item in objects_of(items) for name, _ in marks_of(item)):
        return None
    if any(_codex(item) for item in objects_of(items)):
        return None  # the lines of an early rollout: a head, and then items
    if isinstance(value, dict):
        request = value["request"] if has(value, request=dict) else value
        response = value["response"] if has(value, response=dict) else value
        if has(value, responses_create_params=dict):
            return None if has(value, expected_action=dict) else "`responses_create_params`"
        if has(response, output=list) and ("input" in request or response.get("object") == "response"):
            return "a response with `output`"
        items = request.get("input")
    kinds = (str(item.get("type")) for item in objects_of(items))
    found = next((kind for kind in kinds if kind.endswith(_ITEM_ENDINGS)), None)
    return f"an item of type {found[:40]}" if found else None


def _s1k(value: JSON) -> str | None:
    row = first_of(value) if isinstance(value, list) else value
    found = has(row, question=str) and next(
        (key for key in ("deepseek_attempt", "gemini_attempt") if key in row), None
    )
    return f"`question` and `{found}`" if found else None


def _store(value: JSON) -> str | None:
    return (
        "`schema_version` and `steps`"
        if has(value, schema_version=int, trajectory_id=str, steps=list)
        else None
    )


def _swe_agent(value: JSON) -> str | None:
    if has(value, history=list, trajectory=list):
        return "`history` and `trajectory`"
    if has(value, attempts=list) and has(first_of(value["attempts"]), history=list):
        return "`attempts` with `history`"
    return None


def _trae(value: JSON) -> str | None:
    run = value["trajectory"] if has(value, trajectory=dict) else {}
    return "`agent_steps`" if has(value, agent_steps=list) or "agent_steps" in run else None


_FORMATS: Mapping[str, Callable[[JSON], str | None]] = {
    "adp": _adp,
    "atif": _atif,
    "claude-code": _claude_code,
    "claude-stream": _claude_stream,
    "codex": _codex,
    "gemini": _gemini,
    "iflow": _iflow,
    "inspect": _inspect,
    "math": _math,
    "mini-swe-agent": _mini,
    "moatless": _moatless,
    "opencode": _opencode,
    "opencode-stream": _opencode_stream,
    "openhands": _openhands,
    "openhands-sdk": _sdk,
    "pi": _pi,
    "pivot": _pivot,
    "qwen-code": _qwen_code,
    "r2e-gym": _r2e_gym,
    "responses": _responses,
    "s1k": _s1k,
    "store": _store,
    "swe-agent": _swe_agent,
    "trae": _trae,
}
_CHATS = ("ai-sdk", "anthropic", "openai", "swe-smith")
FORMAT_NAMES = tuple(sorted((*_FORMATS, *_CHATS)))
