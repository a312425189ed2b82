"""ATIF as each of Harbor's converters writes it: whose words and calls stand in a step of the agent."""

import json

import pytest

from tests.trajectories.harbor_runs import Object, asks, bash, commands, document
from tests.trajectories.reading import one, read
from trajectories.types import JSON

USER = {"source": "user", "message": "Fix it."}


def step(message: str, *calls: tuple[str, str, Object], results: bool = True, **fields: JSON) -> Object:
    """Return a step of the agent whose calls gave ``saw <id>``."""
    listed = [{"tool_call_id": i, "function_name": name, "arguments": args} for i, name, args in calls]
    made: Object = {"source": "agent", "message": message, "tool_calls": listed or None}
    if calls and results:
        made["observation"] = {"results": [{"source_call_id": i, "content": f"saw {i}"} for i, _, _ in calls]}
    return {**made, **fields}


def shell(call_id: str, command: str) -> tuple[str, str, Object]:
    return call_id, "execute_bash", {"command": command}


def editor(call_id: str, **arguments: JSON) -> tuple[str, str, Object]:
    return call_id, "str_replace_editor", arguments


# --- A call that was not made


def test_a_call_that_is_written_again_before_its_result_is_one_call() -> None:
    steps = [
        USER,
        step("Look.", bash("a"), results=False),
        {"source": "system", "message": "Still running"},
        step("Ran it.", bash("a")),
        step("Both.", bash("b"), results=False),
        step("Both.", bash("b"), bash("c")),
    ]
    (trajectory,), ledger = read(document(steps, agent="x"))
    assert commands(trajectory) == [["a"], ["b"], ["c"]]
    assert [one_step.observation for one_step in trajectory.steps] == ["saw a", "saw b", "saw c"]
    assert [one_step.thought for one_step in trajectory.steps] == ["Look.", "Both.", "Both."]
    assert ledger.notes["call_recorded_twice"] == 2
    answered = [USER, step("Look.", bash("a")), step("Again.", bash("a"))]  # an id that is used anew
    assert commands(one(document(answered, agent="x"))) == [["a"], ["a"]]


def test_openhands_calls_have_their_own_arguments() -> None:
    steps = [
        USER,
        step("Running command: ls", shell("a", "ls")),
        step("Running command: pwd\nid", shell("b", "ls")),  # the second call of one reply
        step("Reading file: /w/a.py", editor("c", command="ls")),
        step("I edited the file /w/a.py.", editor("d", command="ls")),
        step("All done! What's next on the agenda?", ("e", "finish", {"message": "Done."})),
    ]
    (trajectory,), ledger = read(document(steps, agent="openhands"))
    assert [dict(one_step.actions[0].arguments) for one_step in trajectory.steps] == [
        {"command": "ls"}, {"command": "pwd\nid"}, {"command": "view", "path": "/w/a.py"}, {"command": "ls"},
        {"message": "Done."},
    ]  # fmt: skip
    assert {one_step.thought for one_step in trajectory.steps} == {""}
    assert ledger.notes["arguments_of_another_call"] == 2


def test_openhands_arguments_of_another_tool_are_no_target() -> None:
    edit = editor("b", command="ls")
    steps = [USER, step("Running command: ls", shell("a", "ls")), step("", edit), step("", bash("c"))]
    (trajectory,), ledger = read(document(steps, agent="openhands"))
    assert [one_step.target for one_step in trajectory.steps] == [True, False, True]
    assert ledger.notes["arguments_of_another_call"] == 1


def test_openhands_texts_of_other_producers_are_thoughts() -> None:
    steps = [USER, step("I should look.", shell("a", "ls"))]
    assert one(document(steps, agent="openhands")).steps[0].thought == "I should look."
    running = [USER, step("Running command: ls", shell("a", "ls"))]
    assert one(document(running, agent="acme")).steps[0].thought == "Running command: ls"


def test_swe_agent_runs_the_shell_line_and_thinks_aloud() -> None:
    steps = [
        USER,
        step("I look.\n```\nls\n```", ("a", "swe_agent_action", {"raw_action": "ls\n"}), reasoning_content="I look.\n"),
        step("```\nsubmit\n```", ("b", "swe_agent_action", {"raw_action": "submit"})),
    ]  # fmt: skip
    trajectory = one(document(steps, agent="swe-agent"))
    assert commands(trajectory) == [["ls"], ["submit"]]
    assert {one_step.actions[0].name for one_step in trajectory.steps} == {"bash"}
    assert [(s.thought, s.reasoning) for s in trajectory.steps] == [("I look.", ""), ("```\nsubmit\n```", "")]


def test_calls_in_raw_replies() -> None:
    xml = "Look.\n\n<function=execute_bash>\n<parameter=command>ls</parameter>\n</function>"
    raw = json.dumps({"analysis": "A", "plan": "P", "commands": [{"keystrokes": "ls\n", "duration": 0.1}]})
    result = {"observation": {"results": [{"content": "a.py"}]}}
    for agent, text, name, thought in (
        ("openhands", xml, "execute_bash", "Look."),
        ("terminus-2", raw, "bash_command", "Analysis: A\nPlan: P"),
    ):
        copied = {**step(text), "is_copied_context": True, **result}
        (trajectory,), ledger = read(document([USER, copied, {**step(text), **result}], agent=agent))
        assert [[action.name for action in s.actions] for s in trajectory.steps] == [[name], [name]]
        assert [s.thought for s in trajectory.steps] == [thought] * 2
        assert [s.target for s in trajectory.steps] == [False, True]
        assert [s.observation for s in trajectory.steps] == ["a.py"] * 2
        assert ledger.notes["copied_context"] == 1
    quoted = [USER, step("It printed <function=x>.", bash("a")), step("<function=y></function>")]
    assert commands(one(document(quoted, agent="x"))) == [["a"], []]


def test_replies_of_mini_swe_agent() -> None:
    fence = "Look.\n```mswea_bash_command\nls\n```\n"
    several = fence + "```bash\npwd\n```"
    steps = [
        USER,
        step(fence, reasoning_content=fence, observation={"results": [{"content": "a.py"}]}),
        step(several, reasoning_content=several, observation={"results": [{"content": "One block!"}]}),
        step("Done."),
    ]
    (trajectory,), ledger = read(document(steps, agent="mini-swe-agent"))
    assert commands(trajectory) == [["ls"], [], []]
    assert [(s.thought, s.reasoning) for s in trajectory.steps] == [
        ("Look.", ""), (several.strip(), ""), ("Done.", ""),
    ]  # fmt: skip
    assert [s.observation for s in trajectory.steps] == ["a.py", "One block!", ""]
    assert ledger.notes["several_command_blocks"] == 1
    native = [USER, step("Look.", bash("a"), reasoning_content="Look.")]
    assert one(document(native, agent="mini-swe-agent")).steps[0].reasoning == ""


def test_a_raw_reply_that_cannot_be_read_is_dropped() -> None:
    bad = "Look.\n<function=execute_bash>\n<parameter=command>ls"
    good = bad + "</parameter>\n</function>"
    (trajectory,), ledger = read(document([USER, step(good), step(bad + "\n</function>")], agent="openhands"))
    assert commands(trajectory) == [["ls"]]
    assert ledger.steps.dropped == {"unparsable_call": 1}


# --- Whose words


@pytest.mark.parametrize(
    ("agent", "single", "several"),
    [
        ("devin", "Tool call", "Tool call"),
        ("eve", "Bash requested", "tools requested"),
        ("eve", "Bash result", "tools requested"),
        ("rovodev-cli", "Calling Bash", "Calling tools: Bash, Bash"),
        ("trae-agent", "[tool call: Bash]", "[tool call: Bash, Bash]"),
        ("junie", "LLM response metadata", "LLM response metadata: m: input=1, output=2, cached=0"),
    ],
)
def test_words_of_harbor_for_a_call_without_text(agent: str, single: str, several: str) -> None:
    steps = [
        USER,
        step(single, bash("a")),
        step(several, bash("b"), bash("c")),
        step("Tool call", results=False),
    ]
    trajectory = one(document(steps, agent=agent))
    assert [s.thought for s in trajectory.steps] == ["", "", "Tool call"]


@pytest.mark.parametrize(
    "message", ["Agent response", "[unparsed Copilot event]", "(error) 429", "[error] No."]
)
def test_words_of_harbor_for_a_reply_of_nothing(message: str) -> None:
    found, ledger = read(document([USER, step("Look.", bash("a")), step(message)], agent="x"))
    assert commands(found[0]) == [["a"]]
    assert ledger.steps.dropped == {"empty_turn": 1}


def test_words_of_harbor_for_a_missing_task_are_no_task() -> None:
    steps = [{"source": "user", "message": "(empty user message)"}, step("Look.", bash("a"))]
    found, ledger = read(document(steps, agent="openclaw"))
    assert (found, ledger.trajectories.dropped) == ([], {"no_task": 1})


def test_a_goose_tool_is_named_without_its_extension() -> None:
    call = ("a", "developer.shell", {"command": "ls"})
    assert one(document([USER, step("[tool call: shell]", call)], agent="goose")).steps[0].thought == ""


def test_summaries_of_pi_are_no_turn_of_the_agent() -> None:
    def summary(kind: str) -> Object:
        return step(f"All about {kind}.", llm_call_count=1, extra={"pi_event_type": kind})

    steps = [
        USER,
        step("Look.", bash("a")),
        summary("compaction"),
        summary("branch_summary"),
        step("", bash("b")),
    ]
    (trajectory,), ledger = read(document(steps, agent="pi"))
    assert commands(trajectory) == [["a"], ["b"]]
    assert trajectory.steps[0].observation == "saw a\nAll about branch_summary."
    assert ledger.notes == {"compaction": 1}


def test_a_compaction_between_steps_is_told() -> None:
    managed = {"context_management": {"type": "compaction", "boundary": "replace"}}
    system = {"source": "system", "message": "Performed context summarization.", "extra": managed}
    steps = [USER, step("Look.", bash("a")), system, asks("Go on."), step("", bash("b"))]
    (trajectory,), ledger = read(document(steps, agent="terminus-2"))
    assert trajectory.steps[0].observation == "saw a\nGo on."
    assert ledger.notes == {"compaction": 1}


def test_copilot_agents_are_told_apart_by_the_call_that_began_them() -> None:
    task = ("t1", "task", {"prompt": "Look for it.", "agent_type": "explore"})
    steps = [
        USER,
        step("Delegate.", task, extra={"messageId": "m1"}),
        step("In x.", bash("x1"), extra={"messageId": "m2", "parentToolCallId": "t1"}),
        step("Found.", extra={"messageId": "m3", "parentToolCallId": "t1"}),
        step("Edit.", bash("m1"), results=False, extra={"messageId": "m4"}),
        step("patched", extra={"source_call_id": "m1", "success": True}),
    ]
    found, _ = read(document(steps, agent="copilot-cli"))
    assert [(t.trajectory_id, t.task, commands(t)) for t in found] == [
        ("s1", "Fix it.", [["task"], ["m1"]]),
        ("s1/t1", "Look for it.", [["x1"], []]),
    ]
    assert found[0].steps[1].observation == "patched"


def test_strands_calls_without_usage_are_the_models() -> None:
    steps = [USER, step("", bash("a"), llm_call_count=0), step("Done.", llm_call_count=0)]
    assert [s.target for s in one(document(steps, agent="strands")).steps] == [True, True]
