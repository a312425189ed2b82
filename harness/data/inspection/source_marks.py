"""Marks of calls, results, reasoning and speakers in the formats of trajectories. No reader has a part in them."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from trajectories.types import JSON, JSONObject

AGENT, USER, RESULT, REASONING, OTHER = "agent", "user", "result", "reasoning", "other"

ROLE_KEYS = ("role", "from", "kind", "type", "source")
# Values of these: whose words an object holds.
ROLES = {
    **dict.fromkeys(("assistant", "agent", "model", "gpt", "ai", "gemini", "ActionEvent"), AGENT),
    **dict.fromkeys(("api_action", "code_action", "message_action", "response"), AGENT),
    **dict.fromkeys(("user", "human"), USER),
    **dict.fromkeys(("toolResult", "observation", "text_observation", "web_observation"), RESULT),
    **dict.fromkeys(("AgentErrorEvent", "UserRejectObservation", "ObservationEvent"), RESULT),
    **dict.fromkeys(("thinking", "reasoning", "redacted_thinking"), REASONING),
    **dict.fromkeys(("system", "developer", "SystemPromptEvent"), OTHER),
}
# Keys whose value is of one kind, whatever object they are in.
KEYS = {
    **dict.fromkeys(("observation", "tool_results", "functionResponse"), RESULT),
    **dict.fromkeys(("reasoning_content", "reasoning", "thinking", "thinking_blocks", "thoughts"), REASONING),
    **dict.fromkeys(("thought", "llm_response", "assistant_message", "build_action", "action"), AGENT),
    **dict.fromkeys(("user_message", "instruction", "problem_statement", "task", "prompt"), USER),
}
TEXTS = {*KEYS, "content", "text", "value", "message", "input", "output", "stdout", "stderr", "result", "data",
          "error"}  # fmt: skip
CALLS = {"tool_use", "server_tool_use", "mcp_tool_use", "toolCall", "tool-call", "tool"}  # values of `type`
CALL_KEYS = {"tool_calls", "toolCalls", "actions", "calls", "functionCall", "function_call", "tool_call",
              "expected_action"}  # fmt: skip
RESULTS = ("tool_result", "tool-result", "_call_output")  # endings of `type`
NAMES = ("function_name", "name", "toolName", "tool", "function")
ARGUMENTS = ("input", "arguments", "args", "kwargs", "parameters")
IDS = ("call_id", "tool_call_id", "toolCallId", "tool_use_id", "callID", "id")
OWNERS = ("agent_id", "agentId", "parent_tool_use_id", "is_sidechain", "isSidechain")  # of sub-agents
# Keys and types of copies of what stands elsewhere, and of what the model neither saw nor wrote.
COPIES = {
    "config", "compacted", "event_msg", "events", "execute_action", "execution_completion", "extras",
    "file-history-snapshot", "file_context", "image", "llm_interactions", "metrics", "possible_actions", "progress",
    "properties", "query", "replacement_history", "replay_config", "resultDisplay", "snapshot", "tool_definitions",
    "tools", "toolUseResult", "usage",
}  # fmt: skip
# Events of OpenHands V0 that are no turn of the agent.
NO_TURNS = {"system", "recall", "change_agent_state", "agent_state_changed", "start", "null", "pause", "resume",
             "condensation"}  # fmt: skip
NOT_MADE = "_openhands_malformed_tool_call"  # the argument that OpenHands puts into a call that it refused
# Keys of an object that is a run by itself, not a line of a log.
RUNS = ("messages", "trajectory", "conversations", "history", "steps", "nodes", "attempts", "agent_steps",
         "trajectory_steps", "responses_create_params", "request", "input", "output", "samples")  # fmt: skip
TEXT_LISTS = ("messages", "trajectory", "conversations")  # some sets hold these as a JSON text
BLOCK = re.compile(r"```(?:mswea_bash_command|bash)[ \t]*\n(.*?)\n?```", re.DOTALL)
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
    )
    return frozenset((key, text.strip()) for key, text in texts)


def text_calls(text: str) -> Iterator[Key | None]:
    """Yield the calls in a text, ``<function=…>`` or Hermes' JSON; None for one that is not well formed."""
    pieces = text.split("<function=")[1:]
    for piece in pieces:
        name, _, rest = piece.partition(">")
        body, closed, _ = rest.partition("</function")
        before, *parts = body.split("<parameter=")
        pairs = [part.partition("</parameter>") for part in parts]
        whole = not before.strip() and all(end and not after.strip() for _, end, after in pairs)
        values = {key: value for key, _, value in (pair[0].partition(">") for pair in pairs)}
        yield (name.strip(), arguments_of(values)) if whole and (closed or piece is pieces[-1]) else None
    for piece in text.split("<tool_call>")[1:]:
        body = piece.partition("</tool_call>")[0]
        if "<function=" not in body:
            try:
                call = json.loads(body)
                yield str(call["name"]), arguments_of(call.get("arguments"))
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                yield None


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
    kinds = [
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
    inner = node["function"] if isinstance(node.get("function"), Mapping) else node
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


def is_objects(value: JSON) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
