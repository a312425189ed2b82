"""Documents of foreign formats, in the smallest form."""

import json
from pathlib import Path
from typing import Any

Files = dict[str, Any]  # name -> a JSON value, or for .jsonl a list of lines

LS = ("bash", {"command": "ls"})
CAT = ("bash", {"command": "cat a.py"})
TEST = ("bash", {"command": "pytest"})


def write(files: Files, folder: Path) -> None:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = value if name.endswith(".jsonl") else [value]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str | None, *calls: tuple[str, dict[str, Any]], ids: str = "c", **more: Any) -> dict[str, Any]:
    """Return a reply of OpenAI's API."""
    listed = [
        {
            "id": f"{ids}{n}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for n, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": text, **({"tool_calls": listed} if listed else {}), **more}


def answer(text: str, call_id: str = "c0") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def xml(name: str, *, closed: bool = True, **values: str) -> str:
    parameters = "".join(f"<parameter={key}>{value}</parameter>\n" for key, value in values.items())
    return f"<function={name}>\n{parameters}{'</function>' if closed else ''}"


def line(uuid: str, parent: str | None, kind: str, content: Any, **more: Any) -> dict[str, Any]:
    """Return a line of a Claude Code session."""
    message: dict[str, Any] = {"role": kind, "content": content}
    if kind == "assistant":
        message |= {"id": f"m-{uuid}", "type": "message", "model": "claude-x"}
    about = {"sessionId": "0a1b", "version": "2.1.1", "cwd": "/w", "isSidechain": False}
    return {"type": kind, "uuid": uuid, "parentUuid": parent, **about, "message": message, **more}


def use(call_id: str, name: str, kind: str = "tool_use", **values: Any) -> dict[str, Any]:
    return {"type": kind, "id": call_id, "name": name, "input": values}


def result(call_id: str, content: Any, kind: str = "tool_result") -> dict[str, Any]:
    return {"type": kind, "tool_use_id": call_id, "content": content}


def atif(*steps: dict[str, Any], session: str = "s1") -> dict[str, Any]:
    numbered = [{"step_id": number, **step} for number, step in enumerate(steps, 1)]
    return {
        "schema_version": "ATIF-v1.7",
        "session_id": session,
        "agent": {"name": "acme"},
        "steps": numbered,
    }


def act(
    message: str, call: tuple[str, dict[str, Any]] | None, observed: str, call_id: str = "c1", **more: Any
) -> dict[str, Any]:
    """Return an agent's step of ATIF."""
    step: dict[str, Any] = {"source": "agent", "message": message, **more}
    if call:
        step["tool_calls"] = [{"tool_call_id": call_id, "function_name": call[0], "arguments": call[1]}]
        step["observation"] = {"results": [{"source_call_id": call_id, "content": observed}]}
    return step


def event(number: int, kind: str, conversation: str = "a", **more: Any) -> dict[str, Any]:
    """Return an event of OpenHands' SDK."""
    about = {"id": f"{conversation}{number}", "timestamp": f"2026-01-01T00:00:0{number}", "source": "agent"}
    return {"kind": kind, **about, **more}


def sdk(conversation: str, command: str) -> list[dict[str, Any]]:
    """Return a conversation of OpenHands' SDK."""
    text = [{"type": "text", "text": f"Task of {conversation}"}]
    message = {"role": "user", "content": text}
    return [
        event(1, "SystemPromptEvent", conversation, system_prompt={"type": "text", "text": "Be good."}),
        event(2, "MessageEvent", conversation, source="user", llm_message=message),
        *sdk_call(conversation, {"command": command}),
    ]


def sdk_call(conversation: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"id": f"call{conversation}", "name": "terminal", "arguments": json.dumps(arguments)}
    about = {"tool_call_id": call["id"], "tool_name": "terminal"}
    action = {"kind": "TerminalAction", **arguments} if "command" in arguments else None
    shown = {"kind": "TerminalObservation", "content": [{"type": "text", "text": f"out of {conversation}"}]}
    return [
        event(
            3,
            "ActionEvent",
            conversation,
            action=action,
            tool_call=call,
            llm_response_id=conversation,
            **about,
        ),
        event(4, "ObservationEvent", conversation, source="environment", observation=shown, **about),
    ]


def event_files(*events: dict[str, Any]) -> Files:
    return {f"events/event-0000{n}-{event['id']}.json": event for n, event in enumerate(events)}


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [TASK, *messages], **more}


def reply(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


TASK = user("Fix a.py")
LOOK = ("Look.", [LS], "a.py")
GOOD = {"messages": [user("Fix b.py"), said("Look.", LS), answer("b.py")]}
ATIF_TASK = {"source": "user", "message": "Fix a.py"}
