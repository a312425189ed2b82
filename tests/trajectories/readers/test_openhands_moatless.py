"""OpenHands V0: what the model saw and what a row says. Moatless 1.x."""

from tests.trajectories.reading import one, read
from trajectories.types import JSON

Object = dict[str, JSON]


# --- V0


def test_v0_errors_reasoning_and_verdicts() -> None:
    call = {
        "id": "c1",
        "type": "function",
        "function": {"name": "execute_bash", "arguments": '{"command": "ls"}'},
    }
    message = {"content": "Look.", "tool_calls": [call], "reasoning_content": "Where is it?"}
    metadata = {"tool_call_id": "c1", "model_response": {"id": "r1", "choices": [{"message": message}]}}
    history = [
        {"id": 1, "source": "user", "action": "message", "args": {"content": "Go"}},
        {"id": 2, "source": "environment", "observation": "recall", "extras": {"repo_instructions": "x"}},
        {"id": 3, "source": "agent", "action": "run", "args": {"command": "ls"}, "tool_call_metadata": metadata},
        {"id": 4, "cause": 3, "observation": "error", "content": "No shell."},
        {"id": 5, "source": "agent", "action": "condensation", "args": {}},
        {"id": 6, "source": "agent", "action": "run", "args": {"command": "rm x"}},
        {"id": 7, "cause": 6, "observation": "user_rejected", "content": "No."},
        {"id": 8, "source": "agent"},
        None,
    ]  # fmt: skip
    row = {
        "instance_id": "acme__w-3",
        "history": history,
        "test_result": {"report": {"resolved": False}, "git_patch": "d"},
    }
    (trajectory,), ledger = read(row)
    assert [step.observation for step in trajectory.steps] == [
        "No shell.\n[Error occurred in processing last action]", "No.\n[Last action has been rejected by the user]",
    ]  # fmt: skip
    assert [(step.thought, step.reasoning) for step in trajectory.steps] == [
        ("Look.", "Where is it?"),
        ("", ""),
    ]
    assert (trajectory.resolved, trajectory.patch) == (False, "d")
    assert ledger.notes == {
        "recall_not_kept": 1, "condensation_not_applied": 1, "unknown_event": 2, "reasoning_kept": 1,
    }  # fmt: skip
    assert one(row | {"resolved": 1}).resolved is True
    assert one(row).model is None
    assert one(row | {"test_result": {"result": {"resolved": True}}}).resolved is True


def test_v0_response_names_the_model_where_the_row_does_not() -> None:
    def acts(number: int, **response: JSON) -> Object:
        metadata = {"tool_call_id": f"c{number}", "model_response": response}
        return {
            "id": number, "source": "agent", "action": "run", "args": {"command": "ls"},
            "tool_call_metadata": metadata,
        }  # fmt: skip

    asked = {"id": 0, "source": "user", "action": "message", "args": {"content": "Go"}}
    events: list[JSON] = [asked, acts(1, id="r1", model=7), acts(2, id="r2", model="acme/m")]
    assert one(events).model == "acme/m"
    assert one({"history": events, "model": "acme/n"}).model == "acme/n"
    named = {"history": events, "metadata": {"llm_config": {"model": "acme/p"}}}
    assert one(named).model == "acme/p"
    assert one([asked, acts(1), {**acts(2), "tool_call_metadata": "x"}]).model is None


# --- Moatless


def test_moatless_patch_is_that_of_the_last_context() -> None:
    def context(**patches: JSON) -> Object:
        return {"files": [{"file_path": f"{name}.py", "patch": patch} for name, patch in patches.items()]}

    def node(number: int, **fields: JSON) -> Object:
        step = {"action": {"action_args_class": "m.ls.LsArgs"}, "observation": {"message": "x"}}
        return {"node_id": number, "parent_id": number - 1, "action_steps": [step], **fields}

    one_file, other = "--- a/a.py\n+++ b/a.py\n", "--- a/b.py\n+++ b/b.py\n"
    start = {"node_id": 0, "user_message": "Fix it.", "file_context": {"files": []}}
    edited = node(1, file_context=context(a=one_file, seen=None, b=other))

    def patch(*nodes: Object) -> str | None:
        return one({"metadata": {"instance_id": "acme__w-1"}, "nodes": [start, *nodes]}).patch

    assert patch(edited) == f"{one_file}\n{other}"
    assert patch(edited, node(2, file_context=context(a=one_file))) == one_file
    assert patch(edited, node(2)) == patch(edited, node(2, file_context=None)) == f"{one_file}\n{other}"
    assert patch(edited, node(2, file_context=context(a=None))) is None
    for odd in (7, "x", [], [{"patch": 7}, 7], None):
        assert patch(node(1, file_context={"files": odd})) is None
    assert patch(node(1, file_context="x")) is None


# --- Moatless 1.x


def test_moatless_1x_nodes_hold_steps_of_actions() -> None:
    actions = "moatless.actions"

    def step(name: str, message: str, **arguments: JSON) -> Object:
        return {
            "action": {**arguments, "action_args_class": f"{actions}.{name}"},
            "observation": {"message": message},
        }

    nodes = [
        {"node_id": 0, "user_message": "Fix it."},
        {"node_id": 1, "parent_id": 0, "thoughts": {"text": "Look."},
         "thinking_blocks": [{"type": "thinking", "thinking": "Where?"}],
         "action_steps": [step("glob.GlobArgs", "a.py", pattern="*.py", thoughts="Find it."),
                          step("read_file.ReadFileArgs", "x = 1", file_path="a.py")]},
        {"node_id": 2, "parent_id": 1, "assistant_message": "Write.",
         "action_steps": [step("claude_text_editor.EditActionArguments", "ok", command="create", path="b.py")],
         "evaluation_result": {"resolved": True}},
        {"node_id": 3, "parent_id": 1, "error": "no answer", "action_steps": []},
    ]  # fmt: skip
    tree = {
        "metadata": {"instance_id": "acme__w-1"},
        "agent": {"completion_model": {"model": "acme/m"}},
        "nodes": nodes,
    }
    first, second = read(tree)[0]
    assert [[(a.name, a.arguments) for a in s.actions] for s in first.steps] == [
        [("GlobTool", {"pattern": "*.py"}), ("ReadFile", {"file_path": "a.py"})],
        [("str_replace_editor", {"command": "create", "path": "b.py"})],
    ]
    assert [(s.thought, s.reasoning, s.observation) for s in first.steps] == [
        ("Look.\n\nFind it.", "Where?", "a.py\nx = 1"), ("Write.", "", "ok"),
    ]  # fmt: skip
    assert (first.model, first.resolved, second.resolved) == ("acme/m", True, None)
    assert [t.trajectory_id for t in (first, second)] == ["acme__w-1#node-2", "acme__w-1#node-3"]
