"""Small documents of other agents' logs and of data sets, as the lines of their files, from which fuzzing starts."""

from typing import Any

from trajectories.types import JSON

# Lines of a log have an envelope each.
_STREAM = {"session_id": "11111111-2222-4333-8444-555555555555"}
_QWEN = {"sessionId": "s-1", "timestamp": "t", "cwd": "/p", "version": "0.9.0"}
_IFLOW = {"sessionId": "session-1", "timestamp": "t", "cwd": "/p", "version": "1.0.0", "isSidechain": False}
_LS = {"type": "tool_use", "id": "c1", "name": "Bash", "input": {"command": "ls"}}
_ANSWER = {"type": "tool_result", "tool_use_id": "c1", "content": "a.py"}


def _lines(envelope: dict[str, Any], *lines: dict[str, Any]) -> list[JSON]:
    return [envelope | line for line in lines]


def _codex(*lines: tuple[str, dict[str, Any]]) -> list[JSON]:
    return [{"timestamp": "t", "type": kind, "payload": payload} for kind, payload in lines]


SEEDS_OF_OTHER_AGENTS: dict[str, list[JSON]] = {
    "adp": [
        {
            "id": "acme__w-1",
            "content": [
                {"class_": "text_observation", "source": "user", "content": "Fix it."},
                {"class_": "code_action", "language": "bash", "content": "ls", "description": "Look."},
                {"class_": "text_observation", "source": "environment", "content": "a.py"},
                {"class_": "api_action", "function": "edit", "kwargs": {"path": "a.py"}, "description": "Edit."},
                {"class_": "text_observation", "source": "environment", "content": "ok"},
            ],
            "details": {},
        }
    ],
    "ai-sdk": [
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Fix it."}]},
                {"role": "assistant", "content": [
                    {"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "Look."},
                    {"type": "tool-call", "toolCallId": "c1", "toolName": "bash", "input": {"command": "ls"}}]},
                {"role": "tool", "content": [
                    {"type": "tool-result", "toolCallId": "c1", "toolName": "bash",
                     "output": {"type": "text", "value": "a.py"}}]},
            ]
        }
    ],
    "claude-stream": _lines(
        _STREAM,
        {"type": "system", "subtype": "init", "cwd": "/p", "model": "claude", "uuid": "0"},
        {"type": "user", "uuid": "1", "parent_tool_use_id": None, "message": {"role": "user", "content": "Fix it."}},
        {"type": "assistant", "uuid": "2", "parent_tool_use_id": None,
         "message": {"id": "m1", "role": "assistant", "model": "claude", "content": [_LS]}},
        {"type": "user", "uuid": "3", "parent_tool_use_id": None, "message": {"role": "user", "content": [_ANSWER]}},
        {"type": "result", "subtype": "success", "is_error": False, "result": "Done.", "uuid": "4"},
    ),
    "codex": _codex(
        ("session_meta", {"id": "s1", "cwd": "/p", "cli_version": "0.150.0"}),
        ("turn_context", {"cwd": "/p", "model": "gpt"}),
        ("response_item", {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Fix it."}]}),
        ("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look."}]}),
        ("response_item", {"type": "function_call", "name": "shell", "arguments": '{"command": ["ls"]}',
                           "call_id": "c1"}),
        ("response_item", {"type": "function_call_output", "call_id": "c1", "output": "a.py"}),
    ),
    "gemini": [
        {
            "sessionId": "s1", "projectHash": "h", "startTime": "t", "lastUpdated": "t",
            "messages": [
                {"id": "1", "timestamp": "t", "type": "user", "content": "Fix it."},
                {"id": "2", "timestamp": "t", "type": "gemini", "content": "Look.", "model": "gemini",
                 "thoughts": [{"subject": "Plan", "description": "Look first."}],
                 "toolCalls": [{"id": "c1", "name": "run_shell_command", "args": {"command": "ls"},
                                "status": "success", "result": [{"functionResponse": {
                                    "id": "c1", "name": "run_shell_command", "response": {"output": "a.py"}}}]}]},
            ],
        }
    ],
    "iflow": _lines(
        _IFLOW,
        {"type": "user", "uuid": "1", "parentUuid": None, "message": {"role": "user", "content": "Fix it."}},
        {"type": "assistant", "uuid": "2", "parentUuid": "1",
         "message": {"id": "r1", "role": "assistant", "model": "glm", "content": [_LS]}},
        {"type": "user", "uuid": "3", "parentUuid": "2", "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1",
             "content": {"functionResponse": {"id": "c1", "response": {"output": "a.py"}}}}]}},
    ),
    "inspect": [
        {
            "id": 1, "epoch": 1, "input": "Fix it.", "target": "",
            "messages": [
                {"role": "user", "content": "Fix it.", "source": "input"},
                {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "Hm."},
                                                  {"type": "text", "text": "Look."}],
                 "tool_calls": [{"id": "c1", "function": "bash", "arguments": {"cmd": "ls"}}]},
                {"role": "tool", "content": "a.py", "tool_call_id": "c1", "function": "bash"},
            ],
            "scores": {"s": {"value": "C"}},
        }
    ],
    "opencode": [
        {
            "info": {"id": "ses_1", "directory": "/p", "title": "t", "version": "1.0"},
            "messages": [
                {"info": {"id": "msg_1", "role": "user", "sessionID": "ses_1"},
                 "parts": [{"id": "p1", "type": "text", "text": "Fix it."}]},
                {"info": {"id": "msg_2", "role": "assistant", "sessionID": "ses_1", "modelID": "claude"},
                 "parts": [
                     {"id": "p2", "type": "step-start"}, {"id": "p3", "type": "reasoning", "text": "Hm."},
                     {"id": "p4", "type": "text", "text": "Look."},
                     {"id": "p5", "type": "tool", "callID": "c1", "tool": "bash",
                      "state": {"status": "completed", "input": {"command": "ls"}, "output": "a.py"}},
                     {"id": "p6", "type": "step-finish"}]},
            ],
        }
    ],
    "opencode-stream": [
        {"type": kind, "timestamp": 1, "sessionID": "ses_1", "part": {"messageID": "msg_1"} | part}
        for kind, part in (
            ("step_start", {"id": "prt_1", "type": "step-start"}),
            ("text", {"id": "prt_2", "type": "text", "text": "Look."}),
            ("tool_use", {"id": "prt_3", "type": "tool", "callID": "c1", "tool": "bash",
                          "state": {"status": "completed", "input": {"command": "ls"}, "output": "a.py"}}),
            ("step_finish", {"id": "prt_4", "type": "step-finish"}),
        )
    ],
    "pi": [
        {"type": "session", "version": 3, "id": "s1", "timestamp": "t", "cwd": "/p"},
        {"type": "message", "id": "a", "parentId": None, "timestamp": "t",
         "message": {"role": "user", "content": [{"type": "text", "text": "Fix it."}]}},
        {"type": "message", "id": "b", "parentId": "a", "timestamp": "t", "message": {
            "role": "assistant", "model": "claude", "content": [
                {"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Look."},
                {"type": "toolCall", "id": "c1", "name": "bash", "arguments": {"command": "ls"}}]}},
        {"type": "message", "id": "c", "parentId": "b", "timestamp": "t", "message": {
            "role": "toolResult", "toolCallId": "c1", "toolName": "bash",
            "content": [{"type": "text", "text": "a.py"}], "isError": False}},
    ],
    "qwen-code": _lines(
        _QWEN,
        {"type": "user", "uuid": "1", "parentUuid": None, "message": {"role": "user", "parts": [{"text": "Fix it."}]}},
        {"type": "assistant", "uuid": "2", "parentUuid": "1", "model": "qwen", "message": {"role": "model", "parts": [
            {"text": "Hm.", "thought": True}, {"text": "Look."},
            {"functionCall": {"id": "c1", "name": "run_shell_command", "args": {"command": "ls"}}}]}},
        {"type": "tool_result", "uuid": "3", "parentUuid": "2", "message": {"role": "user", "parts": [
            {"functionResponse": {"id": "c1", "name": "run_shell_command", "response": {"output": "a.py"}}}]}},
    ),
    "r2e-gym": [
        {
            "problem_statement": "It crashes.", "docker_image": "acme_w:abc", "reward": 1, "output_patch": "diff",
            "exit_reason": "agent", "agent_args": {"llm_name": "m"},
            "trajectory_steps": [
                {"step_idx": 0, "thought": "Look.", "observation": "a.py", "done": False,
                 "action": "<function=execute_bash>\n<parameter=cmd>ls</parameter>\n</function>"},
                {"step_idx": 1, "thought": "Done.", "action": "<function=finish>\n</function>", "observation": "",
                 "done": True},
            ],
        }
    ],
}  # fmt: skip
