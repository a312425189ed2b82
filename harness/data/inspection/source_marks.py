"""Marks of calls, results, reasoning and speakers in the formats of trajectories. No reader has a part in them."""

import json
import re
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence

from trajectories.types import JSON, JSONObject

AGENT, USER, RESULT, REASONING, OTHER = "agent", "user", "result", "reasoning", "other"

ROLE_KEYS = ("role", "from", "kind", "type", "source")
# Values of these: whose words an object holds.
ROLES = {
    **dict.fromkeys(("assistant", "agent", "model", "gpt", "ai", "gemini", "ActionEvent"), AGENT),
    **dict.fromkeys(("api_action", "code_action", "message_action", "response"), AGENT),
    **dict.fromkeys(("AIMessage", "AIMessageChunk"), AGENT),
    **dict.fromkeys(("user", "human", "HumanMessage"), USER),
    **dict.fromkeys(("tool_message", "ToolMessage"), RESULT),
    **dict.fromkeys(("toolResult", "observation", "text_observation", "web_observation"), RESULT),
    **dict.fromkeys(("AgentErrorEvent", "UserRejectObservation", "ObservationEvent"), RESULT),
    **dict.fromkeys(("thinking", "reasoning", "redacted_thinking"), REASONING),
    **dict.fromkeys(("system", "developer", "SystemPromptEvent"), OTHER),
}
# Keys whose value is of one kind, whatever object they are in.
KEYS = {
    **dict.fromkeys(
        ("observation", "tool_results", "functionResponse", "aggregated_output", "toolResult"), RESULT
    ),
    **dict.fromkeys(("reasoning_content", "reasoning", "thinking", "thinking_blocks", "thoughts"), REASONING),
    "reasoningContent": REASONING,
    **dict.fromkeys(("thought", "llm_response", "assistant_message", "build_action", "action"), AGENT),
    **dict.fromkeys(("user_message", "instruction", "problem_statement", "task", "prompt"), USER),
}
TEXTS = {*KEYS, "content", "text", "value", "message", "input", "output", "stdout", "stderr", "result", "data",
          "error"}  # fmt: skip
CALLS = {"tool_use", "server_tool_use", "mcp_tool_use", "toolCall", "tool-call", "tool"}  # values of `type`
CALL_KEYS = {"tool_calls", "toolCalls", "toolUse", "actions", "calls", "functionCall", "function_call", "tool_call",
              "expected_action"}  # fmt: skip
RESULTS = ("tool_result", "tool-result", "_call_output")  # endings of `type`
NAMES = ("function_name", "name", "toolName", "tool", "function")
ARGUMENTS = ("input", "arguments", "args", "kwargs", "parameters")
IDS = ("call_id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "callID", "source_call_id", "id")
OWNERS = (
    "agent_id",
    "agentId",
    "parent_tool_use_id",
    "parentToolCallId",
    "is_sidechain",
    "isSidechain",
)  # of sub-agents
# Keys and types of copies of what stands elsewhere, and of what the model neither saw nor wrote.
COPIES = {
    "config", "compacted", "event_msg", "events", "execute_action", "execution_completion", "extras",
    "file-history-snapshot", "file_context", "image", "instance_config", "llm_interactions", "metrics",
    "possible_actions", "progress", "properties", "query", "replacement_history", "replay_config",
    "resultDisplay", "snapshot", "tool_definitions", "tools", "toolUseResult", "usage",
}  # fmt: skip
# Events of OpenHands V0 that are no turn of the agent.
NO_TURNS = {"system", "recall", "change_agent_state", "agent_state_changed", "start", "null", "pause", "resume",
             "condensation"}  # fmt: skip
# Items of the stream of ``codex exec``: the tool (empty: the item names it) and the fields that are its arguments.
CODEX_EVENTS = {
    "command_execution": ("shell", ("command",)),
    "file_change": ("file_change", ("changes",)),
    "collab_tool_call": ("", ("prompt", "receiver_thread_ids")),
    "web_search": ("web_search", ("query", "action")),
    "todo_list": ("update_plan", ("items",)),
}
NOT_MADE = "_openhands_malformed_tool_call"  # the argument that OpenHands puts into a call that it refused
# Keys of an object that is a run by itself, not a line of a log.
RUNS = ("messages", "trajectory", "conversations", "conversation", "traj", "contents", "body", "history", "steps",
         "nodes", "attempts", "agent_steps", "trajectory_steps", "responses_create_params", "request", "input",
         "output", "samples")  # fmt: skip
TEXT_LISTS = (
    "messages",
    "trajectory",
    "conversations",
    "conversation",
    "traj",
)  # some sets hold these as a JSON text
# Bodies that a log may hold as a JSON text, and how such a text begins.
TEXT_HOLDERS = dict.fromkeys(
    ("body", "request", "response", "request_body", "response_body", "raw_response"), ("{",)
)
TASKS = {"task", "instruction", "problem_statement", "prompt"}  # columns of a row
BLOCK = re.compile(r"```(?:mswea_bash_command|bash)[ \t]*\n(.*?)\n?```", re.DOTALL)
NAME_ONLY = re.compile(r"\s*[\w.-]+\s*(?:<arg_key>|\Z)")  # GLM's calls
JSON_CALL = re.compile(r"<tool_call>\s*[{\[]")
MINI = re.compile("mswea_bash_command|COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT|MINI_SWE_AGENT_FINAL_OUTPUT")

Arguments = frozenset[tuple[str, str]]
Key = tuple[str, Arguments]


def arguments_of(raw: JSON) -> Arguments:
    """Return arguments in a form in which those of source and store are equal; outer white space does not count."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            raw = {"input": raw} if raw.strip() else {}
    if not isinstance(raw, Mapping):
        raw = {} if raw is None else {"input": raw}
    texts = (
        (str(key), value if isinstance(value, str) else json.dumps(value, sort_keys=True))
        for key, value in raw.items()
        if value is not None  # a table's, for a key that is absent
    )
    return frozenset((key, text.strip()) for key, text in texts)


def text_calls(text: str) -> Iterator[Key | None]:
    """Yield the calls in a text, ``<function=…>`` or Hermes' JSON; None for one that is not well formed."""
    json_call = JSON_CALL.search(text)
    begins = text.find("<function=")
    # Where both forms are, the later one is in an argument of the other.
    if begins >= 0 and not (json_call and json_call.start() < begins):
        yield from _xml_calls(text.split("<function=")[1:])
    elif begins < 0 or json_call:
        for piece in text.split("<tool_call>")[1:]:
            body = piece.partition("</tool_call>")[0]
            if not NAME_ONLY.match(body):
                yield _json_call(body)


def _xml_calls(pieces: Sequence[str]) -> Iterator[Key | None]:
    for piece in pieces:
        name, _, rest = piece.partition(">")
        body, closed, _ = rest.partition("</function")
        before, *parts = body.split("<parameter=")
        pairs = [part.partition("</parameter>") for part in parts]
        whole = not before.strip() and all(end and not after.strip() for _, end, after in pairs)
        values = {key: value for key, _, value in (pair[0].partition(">") for pair in pairs)}
        yield (name.strip(), arguments_of(values)) if whole and (closed or piece is pieces[-1]) else None


def _json_call(body: str) -> Key | None:
    """Return the call that JSON, or Hermes' literal of Python, is; None for any other text."""
    value = loaded(body)
    try:
        call = literal_eval(body.strip()) if value is None else value
        return str(call["name"]), arguments_of(first(call, ARGUMENTS))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, SyntaxError, MemoryError):
        return None


def terminus_reply(text: str) -> JSONObject:
    """Return the JSON reply of Terminus 2 that a text holds, empty for any other text."""
    if '"commands"' not in text or "{" not in text:
        return {}
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return {}
    keys = {"analysis", "plan", "state_analysis", "explanation"}  # the latter two are Terminus 1's
    fits = isinstance(value, Mapping) and bool(keys & value.keys())
    return value if fits and isinstance(value.get("commands"), list) else {}


def terminus_calls(reply: JSONObject) -> Iterator[Key | None]:
    """Yield the calls of such a reply, under Harbor's names; None for one that is not well formed."""
    for command in reply.get("commands", ()):
        fits = isinstance(command, Mapping) and isinstance(command.get("keystrokes"), str)
        keys = ("keystrokes", "is_blocking", "timeout_sec")
        given = {key: command[key] for key in keys if key in command} if fits else {}
        if "timeout_sec" not in given:
            given["duration"] = command.get("duration", 1.0) if fits else 1.0
        yield ("bash_command", arguments_of(given)) if fits else None
    done = reply.get("task_complete", reply.get("is_task_complete", ""))
    if str(done).strip().lower() in ("true", "1", "yes"):
        yield "mark_task_complete", arguments_of({})


def loaded(text: str) -> JSON:
    """Return the value of a JSON text, None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def first(node: JSONObject, keys: Iterable[str]) -> JSON:
    """Return the first value that is not empty, None if all are."""
    return next((node[key] for key in keys if node.get(key)), None)


def _inner(node: JSONObject, key: str) -> JSONObject:
    value = node.get(key)
    return value if isinstance(value, Mapping) else {}


def role_of(node: JSONObject) -> str:
    """Return whose words an object holds, empty if it does not say."""
    if node.get("thought") is True:  # Gemini's parts
        return REASONING
    if node.get("role") in ("tool", "function"):
        return RESULT
    if node.get("type") == "agent_message" and isinstance(node.get("text"), str):
        return AGENT  # of ``codex exec``
    if isinstance(node.get("part"), Mapping) and "sessionID" in node:
        return AGENT  # of ``opencode run``
    path = node.get("id") if node.get("type") == "constructor" else None  # LangChain's
    kinds = [
        path[-1] if isinstance(path, list) and path else None,
        _inner(node, "extra").get("openclaw_role"),
        *(node.get(key) for key in ROLE_KEYS),
        _inner(node, "info").get("role"),  # opencode
        node.get("class_"),
        node.get("object"),
    ]
    roles = (RESULT if str(kind).endswith(RESULTS) else ROLES.get(str(kind), "") for kind in kinds)
    return next(filter(None, roles), "")


def owner_of(node: JSONObject) -> str:
    """Return what an object says of the sub-agent that made it, empty for nothing."""
    return str(first(node, OWNERS) or first(_inner(node, "extra"), OWNERS) or "")


def call_in(node: JSONObject, key: str) -> tuple[str, JSON, JSON] | None:
    """Return name, arguments and id of the call that an object is, None for any other object."""
    kind = str(node.get("type", ""))
    held = (node.get(one) for one in ("function", "custom"))
    inner = next((one for one in held if isinstance(one, Mapping)), node)
    name = next((inner[one] for one in NAMES if isinstance(inner.get(one), str)), None)
    raw = first(inner, ARGUMENTS)
    if kind == "tool" and isinstance(node.get("state"), Mapping):
        raw = node["state"].get("input")
    if key == "action_steps" and isinstance(node.get("action"), Mapping):  # Moatless 1.x
        kind = str(node["action"].get("action_args_class"))
        return kind.rpartition(".")[2].removesuffix("Args"), node["action"], None
    if node.get("class_") == "code_action":
        shell = node.get("language") in ("bash", "sh", "shell")
        return (
            str("bash" if shell else node.get("language")),
            {"command" if shell else "code": node.get("content")},
            None,
        )
    if name == "swe_agent_action" and isinstance(raw, Mapping) and isinstance(raw.get("raw_action"), str):
        return "bash", {"command": raw["raw_action"]}, first(node, IDS)  # Harbor's name for a shell line
    if key == "item" and kind in CODEX_EVENTS:
        tool, fields = CODEX_EVENTS[kind]
        given = {field: node[field] for field in fields if node.get(field) is not None}
        begun = kind != "command_execution" and node.get("status") == "in_progress"  # its end says more
        return (
            None
            if begun or not any(given.values())
            else (tool or str(node.get("tool")), given, first(node, IDS))
        )
    action = node.get("action")
    if isinstance(action, str) and action.isidentifier() and "role" not in node and action != "message":
        return None if _has_response(node) else (action, node.get("args") or node, node.get("id"))
    if name and (
        key in CALL_KEYS or kind in CALLS or node.get("class_") == "api_action" or kind.endswith("_call")
    ):
        return name, raw, first(node, IDS)
    if kind.endswith("_call"):  # a hosted tool's
        raw = action if isinstance(action, Mapping) else dict(node)
        return kind.removesuffix("_call"), raw, first(node, IDS)
    return None


def _has_response(node: JSONObject) -> bool:
    """Return whether an event of OpenHands holds the reply with the call that it came from."""
    metadata = node.get("tool_call_metadata")
    response = metadata.get("model_response") if isinstance(metadata, Mapping) else None
    choices = response.get("choices") if isinstance(response, Mapping) else None
    message = choices[0].get("message") if isinstance(choices, list) and is_objects(choices) else None
    return isinstance(message, Mapping) and bool(message.get("tool_calls"))


def holds_run(value: JSONObject) -> bool:
    """Return whether an object is a run by itself, not a line of a log."""
    held = [value.get(key) for key in RUNS]
    return (
        any(isinstance(part, Mapping) or is_objects(part) for part in held)
        or any(str(value.get(key, ""))[:1] == "[" for key in TEXT_LISTS)
        or (is_objects(value.get("content")) and "class_" in value["content"][0])
    )


def has_native_calls(message: JSON) -> bool:
    """Return whether a message holds calls in a field, or in blocks, of its own."""
    if not isinstance(message, Mapping) or not {"role", "from"} & message.keys():
        return isinstance(message, Mapping) and str(message.get("type")).endswith("_call")
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    return bool(message.get("tool_calls")) or any(
        isinstance(block, Mapping) and str(block.get("type")) in CALLS for block in blocks
    )


def is_objects(value: JSON) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def is_nested(value: JSON) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(inner, list) for inner in value)
