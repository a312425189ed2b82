"""Recognition of chat messages: whose they are, by their fields and by the scaffold's own prompt."""

import re
from collections.abc import Iterable, Sequence

from trajectories.conversation.fields import LOOKED_AT, first_of, has, objects_of
from trajectories.readers.chat.exchange import column_of, messages_in, request_of, response_of
from trajectories.readers.chat.langchain import as_message
from trajectories.types import JSON, JSONObject

_UI_PARTS = ("step-start", "dynamic-tool")  # of the AI SDK's UIMessages
_SMITH_ID = re.compile(r"[^/\s]+__[^/\s]+\.[0-9a-f]{8}\.[^/\s]+", re.ASCII)
# Words of mini-swe-agent's own prompts: the fence of its commands, the commands that end a run.
_MINI_PROMPTS = ("mswea_bash_command", "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "MINI_SWE_AGENT_FINAL_OUTPUT")
_OF_MESSAGES = ("role", "from", "extra")
_MINI_EXTRA = ("actions", "response", "raw_output", "exit_status", "interrupt_type", "model_response")


def chat_formats(value: JSON) -> list[tuple[str, str]]:
    """Return the formats that chat messages fit, each with why: a bare list, a column of a row, a ``request``."""
    body = request_of(value) if isinstance(value, dict) else value
    column = column_of(body) if isinstance(body, dict) else None
    if isinstance(body, dict) and column is None:
        return []
    where = f"`{column}`" if column else "a list of messages"
    listed = messages_in(body[column] if column else body, LOOKED_AT)
    messages = [as_message(message) for message in objects_of(listed)]
    if not messages or not all(any(key in message for key in _OF_MESSAGES) for message in messages):
        return []
    marks: dict[str, str] = {}
    for message in messages:
        for name, why in marks_of(message):
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
            return [(name, f"{where}: {marks[name]}")]
    if not marks:
        marks = {"openai": "roles and texts, no native calls"}
    return [(name, f"{where}: {why}") for name, why in sorted(marks.items())]


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


def marks_of(message: JSONObject) -> Iterable[tuple[str, str]]:
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
    if has(first_of(calls), function=str):
        yield "inspect", "`tool_calls` whose `function` is a name"
    elif calls or message.get("role") == "tool" or isinstance(message.get("function_call"), dict):
        content = message.get("content")
        if not any(block.get("type") == "tool-result" for block in objects_of(content)):
            yield "openai", "`tool_calls`" if calls else f"role {message.get('role')}"
    kinds = {str(block.get("type")) for block in objects_of(message.get("content"))}
    if found := sorted(kinds & {"tool-call", "tool-result"}):
        yield "ai-sdk", f"blocks of type {found[0]}"
    parts = {str(part.get("type")) for part in objects_of(message.get("parts"))}
    if found := sorted(kind for kind in parts if kind in _UI_PARTS or kind.startswith("tool-")):
        yield "ai-sdk", f"parts of type {found[0][:40]}"
    # LangChain writes Anthropic's calls in both ways.
    if not calls and (
        found := sorted(kind for kind in kinds if kind == "tool_result" or kind.endswith("tool_use"))
    ):
        yield "anthropic", f"blocks of type {found[0][:40]}"
