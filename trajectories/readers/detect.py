"""Detection of a document's format by its structure: fields, roles, names of schemas. Never by words of a reply."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from trajectories.readers.chat.exchange import column_of, loaded, messages_in, request_of, response_of
from trajectories.readers.chat.langchain import as_message
from trajectories.readers.scaffolds.openhands_sdk import is_state
from trajectories.readers.unknown import describe
from trajectories.types import JSON, JSONObject

_UI_PARTS = ("step-start", "dynamic-tool")  # of the AI SDK's UIMessages
_FIRST_LINE = 100_000  # characters of a text that may be a log
_LOOKED_AT = 200  # messages that are inspected to distinguish chat formats
_OF_OPENHANDS = ("action", "observation")
_ITEM_ENDINGS = ("_call", "_call_output")  # of the types of items of the Responses API
_SMITH_ID = re.compile(r"[^/\s]+__[^/\s]+\.[0-9a-f]{8}\.[^/\s]+", re.ASCII)
_CODEX_HEAD = {"id", "timestamp", "instructions", "git"}
_CODEX_LINES = {"session_meta", "response_item", "turn_context", "event_msg", "compacted"}
_STREAM_TYPES = {"system", "assistant", "user", "result", "stream_event"}
# Words of mini-swe-agent's own prompts: the fence of its commands, the commands that end a run.
_MINI_PROMPTS = ("mswea_bash_command", "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "MINI_SWE_AGENT_FINAL_OUTPUT")
_OF_MESSAGES = ("role", "from", "extra")
_MINI_INFO = ("mini_version", "model_stats", "exit_status", "submission", "config")
_MINI_EXTRA = ("actions", "response", "raw_output", "exit_status", "interrupt_type", "model_response")


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
    found = [Detected(name=name, why=why) for name, fits in _FORMATS.items() if (why := fits(value))]
    found = found or _chat_formats(value)
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
            return f" whose `{str(key)[:40]}` is a log of {found[0]}: write that text to a file of its own; it"
    return ""


def _has(value: JSON, **kinds: type) -> bool:
    if not isinstance(value, dict):
        return False
    for key, kind in kinds.items():  # noqa: SIM110  (it runs some 30 times a document, and all() takes twice as long)
        if not isinstance(value.get(key), kind):
            return False
    return True


def _first(value: JSON) -> JSON:
    return value[0] if isinstance(value, list) and value else None


def _objects(value: JSON) -> list[JSONObject]:
    shown = value[:_LOOKED_AT] if isinstance(value, list) else []
    return [item for item in shown if isinstance(item, dict)]


def _atif(value: JSON) -> str | None:
    if _has(value, schema_version=str, steps=list) and value["schema_version"].startswith("ATIF-"):
        return f"`schema_version` is {value['schema_version'][:20]}"
    return None


def _adp(value: JSON) -> str | None:
    if _has(value, content=list) and any("class_" in item for item in _objects(value["content"])):
        return "`content` holds items with `class_`"
    return None


def _claude_code(value: JSON) -> str | None:
    if not _has(value, type=str) or _iflow(value) or _qwen_code(value):
        return None
    if value["type"] in ("user", "assistant"):
        return "a line with `type`, `uuid` and `sessionId`" if _has(value, sessionId=str, uuid=str) else None
    marks = next((key for key in ("sessionId", "leafUuid", "snapshot") if key in value), None)
    return f"a line with `type` and `{marks}`" if marks else None


def _claude_stream(value: JSON) -> str | None:
    where = "a list of lines" if isinstance(value, list) else "a line"
    for line in _objects(value) if isinstance(value, list) else [value]:
        if not _has(line, type=str) or line["type"] not in _STREAM_TYPES:
            continue
        mark = "session_id" if _has(line, session_id=str) else "parent_tool_use_id"
        if mark in line and (mark == "session_id" or _has(line, message=dict)):
            return f"{where} with `type` and `{mark}`"
    return None


def _codex(value: JSON) -> str | None:
    if _has(value, type=str, payload=dict) and ("timestamp" in value or value["type"] in _CODEX_LINES):
        return "a line of `timestamp`, `type`, `payload`"
    if _has(value, id=str, timestamp=str) and value.keys() <= _CODEX_HEAD:
        return "a first line of `id` and `timestamp`, perhaps `instructions` and `git`"
    if _has(value, type=str, thread_id=str) and value["type"] == "thread.started":
        return "a line of type thread.started with `thread_id`"
    fits = _has(value, type=str, item=dict) and value["type"].startswith("item.")
    return f"a line of type {value['type'][:20]} with `item`" if fits else None


def _gemini(value: JSON) -> str | None:
    if _has(value, sessionId=str, projectHash=str):
        return "`sessionId` and `projectHash`"
    # The first versions that kept sessions wrote no hash.
    fits = _has(value, sessionId=str, messages=list) and _has(_first(value["messages"]), type=str)
    return "`sessionId` and `messages` with `type`" if fits and "uuid" not in value else None


def _iflow(value: JSON) -> str | None:
    if not _has(value, uuid=str, sessionId=str, type=str) or "requestId" in value:
        return None
    if _has(value, message=dict) and str(value["message"].get("id")).startswith("response-"):
        return "a line with `uuid`, whose message has an `id` that begins with response-"
    if value["sessionId"].startswith("session-"):
        return "a line with `uuid`, and a `sessionId` that begins with session-"
    return None


def _inspect(value: JSON) -> str | None:
    if _has(value, eval=dict) and any(key in value for key in ("samples", "status")):
        return "a log with `eval` and `samples`" if "samples" in value else "a log with `eval` and `status`"
    if _has(value, samples=list) and _has(_first(value["samples"]), epoch=int, messages=list):
        return "a log whose `samples` have `epoch` and `messages`"
    return "a sample with `epoch` and `messages`" if _has(value, epoch=int, messages=list) else None


def _math(value: JSON) -> str | None:
    row = _first(value) if isinstance(value, list) else value
    asked = next((key for key in ("question", "problem") if _has(row, **{key: str})), None)
    fits = asked and _has(row, solution=str) and not _s1k(value)
    # A run on a task may have the task's own columns beside it.
    return f"`{asked}` and `solution`" if fits and not _holds_run(row) else None


def _holds_run(row: JSON) -> bool:
    """Return whether a row holds a rollout or a chat with tools beside its other columns."""
    if _has(row, responses_create_params=dict):
        return True
    column = column_of(row) if isinstance(row, dict) else None
    listed = _objects(messages_in(row[column])) if column else []
    return any(True for message in listed for _ in _marks(message))


def _mini(value: JSON) -> str | None:
    if not _has(value, messages=list):
        return None
    if str(value.get("trajectory_format", "")).startswith("mini-swe-agent"):
        return "`trajectory_format` names it"
    info = value.get("info")
    found = [key for key in _MINI_INFO if isinstance(info, dict) and key in info]
    return f"`messages` beside `info` with `{found[0]}`" if found else None


def _moatless(value: JSON) -> str | None:
    return (
        "`nodes` with `node_id`"
        if _has(value, nodes=list) and _has(_first(value["nodes"]), node_id=int)
        else None
    )


def _opencode(value: JSON) -> str | None:
    messages = value["messages"] if _has(value, messages=list) else value
    return "messages with `info` and `parts`" if _has(_first(messages), info=dict, parts=list) else None


def _opencode_stream(value: JSON) -> str | None:
    if not _has(value, type=str, sessionID=str):
        return None
    mark = next((key for key in ("part", "error") if isinstance(value.get(key), dict)), None)
    return f"a line with `type`, `sessionID` and `{mark}`" if mark else None


def _openhands(value: JSON) -> str | None:
    where, events = "a list", value
    if _has(value, history=list) and not isinstance(value.get("trajectory"), list):
        where, events = "`history`", value["history"]
    event = _first(events)
    event = _first(event) if isinstance(event, list) else event
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
    fits = _has(value, kind=str, id=str, timestamp=str, source=str)
    return "an event with `kind`, `id` and `source`" if fits else None


def _pi(value: JSON) -> str | None:
    if _has(value, type=str, timestamp=str) and value["type"] == "session" and "steps" not in value:
        mark = next((key for key in ("id", "cwd") if isinstance(value.get(key), str)), None)
        return f"a line of type session with `{mark}` and `timestamp`" if mark else None
    if _has(value, type=str, id=str, message=dict) and "parentId" in value:
        return "a line with `message` and `parentId`"
    return None


def _pivot(value: JSON) -> str | None:
    fits = _has(value, responses_create_params=dict, expected_action=dict)
    return "`responses_create_params` and `expected_action`" if fits else None


def _qwen_code(value: JSON) -> str | None:
    if not _has(value, sessionId=str, uuid=str):
        return None
    if _has(value, message=dict) and isinstance(value["message"].get("parts"), list):
        return "a line with `sessionId`, whose message has `parts`"
    return "a line with `sessionId` and `systemPayload`" if _has(value, systemPayload=dict) else None


def _r2e_gym(value: JSON) -> str | None:
    return "`trajectory_steps`" if _has(value, trajectory_steps=list) else None


def _responses(value: JSON) -> str | None:
    """Accept a response, a request with one, NeMo Gym's rollout, or anything with items of the API's types."""
    items = value
    if any(name == "mini-swe-agent" for item in _objects(items) for name, _ in _marks(item)):
        return None
    if any(_codex(item) for item in _objects(items)):
        return None  # the lines of an early rollout: a head, and then items
    if isinstance(value, dict):
        request = value["request"] if _has(value, request=dict) else value
        response = value["response"] if _has(value, response=dict) else value
        if _has(value, responses_create_params=dict):
            return None if _has(value, expected_action=dict) else "`responses_create_params`"
        if _has(response, output=list) and ("input" in request or response.get("object") == "response"):
            return "a response with `output`"
        items = request.get("input")
    kinds = (str(item.get("type")) for item in _objects(items))
    found = next((kind for kind in kinds if kind.endswith(_ITEM_ENDINGS)), None)
    return f"an item of type {found[:40]}" if found else None


def _s1k(value: JSON) -> str | None:
    row = _first(value) if isinstance(value, list) else value
    found = _has(row, question=str) and next(
        (key for key in ("deepseek_attempt", "gemini_attempt") if key in row), None
    )
    return f"`question` and `{found}`" if found else None


def _store(value: JSON) -> str | None:
    return (
        "`schema_version` and `steps`"
        if _has(value, schema_version=int, trajectory_id=str, steps=list)
        else None
    )


def _swe_agent(value: JSON) -> str | None:
    if _has(value, history=list, trajectory=list):
        return "`history` and `trajectory`"
    if _has(value, attempts=list) and _has(_first(value["attempts"]), history=list):
        return "`attempts` with `history`"
    return None


def _trae(value: JSON) -> str | None:
    run = value["trajectory"] if _has(value, trajectory=dict) else {}
    return "`agent_steps`" if _has(value, agent_steps=list) or "agent_steps" in run else None


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


def _chat_formats(value: JSON) -> list[Detected]:
    """Return the formats that a list of chat messages fits: bare, or in a column of a row, or of its ``request``."""
    body = request_of(value) if isinstance(value, dict) else value
    column = column_of(body) if isinstance(body, dict) else None
    if isinstance(body, dict) and column is None:
        return []
    where = f"`{column}`" if column else "a list of messages"
    listed = messages_in(body[column] if column else body, _LOOKED_AT)
    messages = [as_message(message) for message in _objects(listed)]
    if not messages or not all(any(key in message for key in _OF_MESSAGES) for message in messages):
        return []
    marks: dict[str, str] = {}
    for message in messages:
        for name, why in _marks(message):
            marks.setdefault(name, why)
    prompts = _prompts(messages)
    # An issue may quote the words; a scaffold of XML calls describes these in its prompt.
    mini = next((word for word in _MINI_PROMPTS if word in prompts), None)
    if mini and "swe-smith" not in marks and "<function=" not in prompts:
        marks = {"mini-swe-agent": f"the prompt says {mini}"} | marks
    if column and not marks.keys() - {"openai"} and (smith := _of_smith(body)):
        marks["swe-smith"] = smith
    if not marks.keys() & {"openai", "anthropic"}:
        marks |= _of_exchange(value, body)
    for name in ("mini-swe-agent", "swe-smith", "inspect", "ai-sdk"):
        if name in marks:
            return [Detected(name=name, why=f"{where}: {marks[name]}")]
    if not marks:
        marks = {"openai": "roles and texts, no native calls"}
    return [Detected(name=name, why=f"{where}: {why}") for name, why in sorted(marks.items())]


def _of_exchange(value: JSON, body: JSON) -> dict[str, str]:
    """Return what a request of OpenAI's or Anthropic's API is known by, and the response beside it."""
    response = response_of(value)
    if isinstance(response, dict) and isinstance(response.get("choices"), list):
        return {"openai": "a response with `choices`"}
    if isinstance(response, dict) and response.get("type") == "message":
        return {"anthropic": "a response of type message"}
    asks = isinstance(body, dict) and "max_tokens" in body
    return {"anthropic": "`max_tokens` of a request"} if asks else {}


def _of_smith(row: JSONObject) -> str | None:
    """Return what SWE-smith's rows are known by beside their messages. Blocks of another format weigh more."""
    if isinstance(row.get("traj_id"), str):
        return "`traj_id`"
    return (
        "an `instance_id` of SWE-smith's form"
        if _SMITH_ID.fullmatch(str(row.get("instance_id", "")))
        else None
    )


def _prompts(messages: Sequence[JSONObject]) -> str:
    """Return the texts before the first reply, which are the scaffold's."""
    texts = []
    for message in messages:
        if message.get("role", message.get("from")) in ("assistant", "gpt"):
            break
        content = message.get("content", message.get("value"))
        blocks = content if isinstance(content, list) else [content]
        texts += [block.get("text") if isinstance(block, dict) else block for block in blocks]
    return "\n".join(text for text in texts if isinstance(text, str))


def _marks(message: JSONObject) -> Iterable[tuple[str, str]]:
    """Yield the formats that the fields of a message tell of."""
    extra = message.get("extra")
    if isinstance(extra, dict) and (key := next((key for key in _MINI_EXTRA if key in extra), None)):
        yield "mini-swe-agent", f"`extra` with `{key}`"
    if message.get("role") == "exit":
        yield "mini-swe-agent", "role exit"
    if message.get("role") == "ai" and isinstance(message.get("text"), str):
        yield "swe-smith", "role ai with `text`"
    for key in ("message_type", "tool_call_ids"):
        if key in message:
            yield "swe-smith", f"messages with `{key}`"
            return
    calls = message.get("tool_calls")
    if _has(_first(calls), function=str):
        yield "inspect", "`tool_calls` whose `function` is a name"
    elif calls or message.get("role") == "tool" or isinstance(message.get("function_call"), dict):
        content = message.get("content")
        if not any(block.get("type") == "tool-result" for block in _objects(content)):
            yield "openai", "`tool_calls`" if calls else f"role {message.get('role')}"
    kinds = {str(block.get("type")) for block in _objects(message.get("content"))}
    if found := sorted(kinds & {"tool-call", "tool-result"}):
        yield "ai-sdk", f"blocks of type {found[0]}"
    parts = {str(part.get("type")) for part in _objects(message.get("parts"))}
    if found := sorted(kind for kind in parts if kind in _UI_PARTS or kind.startswith("tool-")):
        yield "ai-sdk", f"parts of type {found[0][:40]}"
    # LangChain writes Anthropic's calls in both ways.
    if not calls and (
        found := sorted(kind for kind in kinds if kind == "tool_result" or kind.endswith("tool_use"))
    ):
        yield "anthropic", f"blocks of type {found[0][:40]}"
