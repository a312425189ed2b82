"""mini-swe-agent ``.traj.json``: text mode and tool mode, v1 and v2, or the bare list of messages."""

import re
from collections.abc import Iterable, Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import bash, openai_reply, result_ids, text_of
from trajectories.readers.events import NO_BLOCK, SEVERAL_BLOCKS, Event, Reply, Result, UserMessage, record
from trajectories.readers.fields import as_object, text_at
from trajectories.readers.responses import response_reply
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

_BLOCK = re.compile(r"```(?:mswea_bash_command|bash)[ \t]*\n(.*?)\n?```", re.DOTALL)
_TAG = re.compile(r"<mswea_bash_command>(.*?)</mswea_bash_command>", re.DOTALL)


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a run or a bare list of messages."""
    run = as_object(document.value, "messages")
    messages = run["messages"]
    info = run.get("info") or {}
    last = (messages[-1].get("extra") or {}) if messages else {}
    metadata: dict[str, JSON] = {"exit_status": info.get("exit_status") or last.get("exit_status")}
    if info.get("mini_version"):
        metadata["mini_version"] = info["mini_version"]
    yield from record(
        events(messages),
        document,
        ledger,
        source="mini-swe-agent",
        instance_id=run.get("instance_id"),
        model=text_at(info, "config", "model", "model_name"),
        patch=info.get("submission") or last.get("submission") or None,
        metadata=metadata,
    )


def events(messages: Iterable[JSONObject]) -> Iterator[Event]:
    """Yield events. A user message after a reply is the observation; the last one says how the run ended."""
    before_first_reply = True
    for message in messages:
        role = message.get("role")
        extra = message.get("extra") or {}
        if role == "assistant" or message.get("object") == "response":
            yield reply_of(message, extra)
            before_first_reply = False
        elif message.get("type") == "function_call_output":
            yield Result(text=text_of(message.get("output")), call_ids=(message["call_id"],))
        elif role in ("user", "tool"):
            text = text_of(message.get("content"))
            if before_first_reply:
                yield UserMessage(text=text)
            elif role == "tool" or "exit_status" not in extra:
                yield Result(text=text, call_ids=result_ids(message))


def reply_of(message: JSONObject, extra: JSONObject) -> Reply:
    """Read the model's own text or tool calls; ``extra.actions`` holds what the scaffold parsed from them."""
    if message.get("object") == "response":
        return response_reply(message.get("output") or [])
    content = text_of(message.get("content"))
    if message.get("tool_calls"):
        return openai_reply(content, message["tool_calls"])
    blocks = list(_BLOCK.finditer(content)) or list(_TAG.finditer(content))
    if len(blocks) == 1:
        return Reply(thought=content[: blocks[0].start()], calls=(bash(blocks[0][1].strip()),))
    actions = extra.get("actions") or []
    if len(actions) == 1 and isinstance(actions[0], Mapping) and isinstance(actions[0].get("command"), str):
        return Reply(thought=content, calls=(bash(actions[0]["command"]),))  # a model with its own pattern
    if blocks:
        return Reply(thought=content, problem=SEVERAL_BLOCKS)
    return Reply(thought=content, problem=NO_BLOCK if "```" in content else None)
