"""One small document of each format, as the lines of its file, from which fuzzing starts."""

import json
from collections import Counter
from collections.abc import Mapping

from tests.trajectories.seeds_of_other_agents import SEEDS_OF_OTHER_AGENTS
from trajectories import Action, Step, Trajectory
from trajectories.types import JSON
from trajectories.writers import WRITERS

LS = {"type": "function", "id": "c1", "function": {"name": "bash", "arguments": '{"command": "ls"}'}}
OWN = Trajectory(
    trajectory_id="t1",
    instance_id="acme__w-1",
    task="Fix it.",
    steps=(
        Step(
            thought="Look.", actions=(Action(name="bash", arguments={"command": "ls"}),), observation="a.py"
        ),
        Step(thought="Hm.", actions=(), observation="Go on."),
        Step(thought="", actions=(Action(name="submit"),), observation=""),
    ),
    source="trae",
    model="m",
    resolved=True,
    patch="diff --git",
    metadata={"prompt": "p"},
)


def _written(name: str) -> list[JSON]:
    return [json.loads(json.dumps(row)) for row in WRITERS[name](OWN, Counter())]


def _claude_code() -> list[JSON]:
    base = {"sessionId": "s", "timestamp": "t", "version": "2", "cwd": "/p", "isSidechain": False}
    call = {"type": "tool_use", "id": "u1", "name": "Bash", "input": {"command": "ls"}}
    answer = {"type": "tool_result", "tool_use_id": "u1", "content": "a.py"}
    reply = {
        "id": "m1",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "Look."}],
    }
    lines: list[dict[str, JSON]] = [
        {"type": "user", "uuid": "a", "parentUuid": None, "message": {"role": "user", "content": "Fix it."}},
        {"type": "assistant", "uuid": "b", "parentUuid": "a", "message": reply},
        {"type": "assistant", "uuid": "c", "parentUuid": "b", "message": {**reply, "content": [call]}},
        {"type": "user", "uuid": "d", "parentUuid": "c", "message": {"role": "user", "content": [answer]}},
        {"type": "attachment", "uuid": "e", "parentUuid": "d",
         "attachment": {"type": "queued_command", "prompt": "Be quick."}},
    ]  # fmt: skip
    return [base | line for line in lines]


def _sdk() -> list[JSON]:
    call = {"id": "c1", "name": "terminal", "arguments": '{"command": "ls"}'}
    base = {"timestamp": "t"}
    text = [{"type": "text", "text": "Fix it."}]
    return [
        base | {"kind": "MessageEvent", "id": "1", "source": "user", "llm_message": {"role": "user", "content": text}},
        base | {"kind": "ActionEvent", "id": "2", "source": "agent", "thought": text, "action": {"command": "ls"},
                "tool_name": "terminal", "tool_call_id": "c1", "tool_call": call, "llm_response_id": "r1"},
        base | {"kind": "ObservationEvent", "id": "3", "source": "environment", "tool_call_id": "c1",
                "observation": {"content": [{"type": "text", "text": "a.py"}]}},
    ]  # fmt: skip


def _chat(*, tool_ids: bool = False) -> list[JSON]:
    ids: dict[str, JSON] = (
        {"tool_call_ids": ["c1"], "message_type": "observation"} if tool_ids else {"tool_call_id": "c1"}
    )
    return [
        {"role": "system", "content": "You are."},
        {"role": "user", "content": "<pr_description>\nIt crashes.\n</pr_description>\nFix it."},
        {"role": "assistant", "content": [{"type": "text", "text": "Look."}], "tool_calls": [LS]},
        {"role": "tool", "content": "a.py", **ids},
        {"role": "assistant", "content": "Done."},
    ]


ISSUE = "1. **Add** 2 + 2 = 4.\n2. **Box** It is \\boxed{4}."
SEEDS: Mapping[str, list[JSON]] = SEEDS_OF_OTHER_AGENTS | {
    "anthropic": [
        {
            "request": {"model": "m", "max_tokens": 9, "messages": [
                {"role": "user", "content": "Fix it."},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "x"}, {"type": "text", "text": "Look."},
                    {"type": "tool_use", "id": "u1", "name": "bash", "input": {"command": "ls"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "u1", "content": "a.py"}]}]},
            "response": {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
        }
    ],
    "atif": _written("atif"),
    "claude-code": _claude_code(),
    "math": [{"problem": "2 + 2?", "solution": ISSUE, "answer": "4", "correct": True, "level": 1}],
    "mini-swe-agent": [
        {
            "info": {"exit_status": "Submitted", "submission": "diff", "config": {"model": {"model_name": "m"}}},
            "trajectory_format": "mini-swe-agent-1.1",
            "messages": [
                {"role": "user", "content": "Fix it."},
                {"role": "assistant", "content": "Look.\n\n```bash\nls\n```",
                 "extra": {"actions": [{"command": "ls"}]}},
                {"role": "user", "content": "a.py"},
                {"object": "response", "output": [
                    {"type": "message", "content": [{"type": "output_text", "text": "Go."}]},
                    {"type": "function_call", "name": "bash", "arguments": '{"command": "ls"}', "call_id": "c1"}]},
                {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
                {"role": "exit", "content": "", "extra": {"exit_status": "Submitted", "submission": "diff"}}],
        }
    ],
    "moatless": [
        {
            "metadata": {"instance_id": "acme__w-1"}, "agent": {"completion": {"model": "m"}},
            "nodes": [
                {"node_id": 0, "parent_id": None, "message": "<task>\nIt crashes.\n</task>"},
                {"node_id": 1, "parent_id": 0, "observation": {"message": "a.py"},
                 "completions": {"build_action": {"response": {"content": [
                     {"type": "text", "text": "Look."},
                     {"type": "tool_use", "id": "u1", "name": "ViewCode", "input": {"files": ["a.py"]}}]}}}},
                {"node_id": 2, "parent_id": 1, "completions": {"build_action": {"response": {"content": [
                    {"type": "tool_use", "id": "u2", "name": "Finish", "input": {}}]}}}}],
        }
    ],
    "openai": [{"messages": _chat(), "instance_id": "acme__w-1", "resolved": False, "agent": "a"}],
    "openhands": [
        {
            "instance_id": "acme__w-1", "test_result": {"git_patch": "diff"},
            "metadata": {"llm_config": {"model": "m"}},
            "history": [
                {"id": 1, "source": "user", "action": "message", "args": {"content": "Fix it."}},
                {"id": 2, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Look."},
                 "tool_call_metadata": {"tool_call_id": "c1", "model_response": {"id": "r", "choices": [
                     {"message": {"content": "Look.", "tool_calls": [LS]}}]}}},
                {"id": 3, "source": "agent", "cause": 2, "observation": "run", "content": "a.py", "extras": {}},
                {"id": 4, "source": "agent", "action": "finish", "args": {"thought": "Done.", "outputs": {}}}],
        }
    ],
    "openhands-sdk": _sdk(),
    "pivot": _written("pivot"),
    "responses": [
        {
            "model": "m", "instance_id": "acme__w-1",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Fix it."}]},
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Look."}]},
                {"type": "function_call", "name": "bash", "arguments": '{"command": "ls"}', "call_id": "c1"},
                {"type": "function_call_output", "call_id": "c1", "output": "a.py"},
                {"type": "local_shell_call", "call_id": "c2", "action": {"command": ["ls"]}},
                {"type": "shell_call_output", "call_id": "c2", "output": [{"stdout": "a.py", "stderr": ""}]}],
        }
    ],
    "s1k": [
        {"question": "2 + 2?", "solution": "4", "deepseek_attempt": ISSUE, "deepseek_grade": "Yes",
         "deepseek_thinking_trajectory": "Hm.", "metadata": "{}"}
    ],
    "store": _written("store"),
    "swe-agent": [
        {
            "environment": "swe_main", "history": _chat(tool_ids=True),
            "trajectory": [{"action": "ls", "observation": "a.py"}, {"action": "", "observation": "end"}],
            "info": {"exit_status": "submitted", "submission": "diff", "swe_agent_version": "1"},
            "replay_config": '{"problem_statement": {"id": "acme__w-1", "text": "It crashes."}}',
        }
    ],
    "swe-smith": [
        {
            "messages": json.dumps(_chat(tool_ids=True)), "instance_id": "acme__w.1a2b3c4d.pr_1", "resolved": True,
            "model": "m", "traj_id": "t", "patch": "diff",
        },
        {
            "messages": [
                {"role": "user", "content": "Fix it."},
                {"role": "assistant",
                 "content": "Look.\n\n<function=bash>\n<parameter=command>ls</parameter>\n</function>"},
                {"role": "user", "content": "OBSERVATION:\na.py"}],
            "instance_id": "acme__w.1a2b3c4d.pr_2",
        },
    ],
    "trae": [
        {
            "source_path": "a/b/trajectory.json", "model_patch": "diff",
            "run_summary": {"meta": {"task_id": "acme", "item_id": "i"}, "commits": {"human": "abc"}},
            "trajectory": {"task": "Fix it.", "model": "m", "success": True, "agent_steps": [
                {"step_number": 1, "llm_messages": [{"role": "user", "content": "Go."}],
                 "llm_response": {"content": "Look.", "tool_calls": [
                     {"call_id": "c1", "name": "bash", "arguments": {"command": "ls"}}]},
                 "tool_results": [{"call_id": "c1", "result": "a.py", "error": None}]}]},
        }
    ],
}  # fmt: skip
