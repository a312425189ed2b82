"""Calls of all scaffolds in one vocabulary, and exactly back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.demo import expert_path
from srl_agent.step_kinds import KINDS as STEP_KINDS
from srl_agent.step_kinds import step_kind
from tests.trajectories.made import TEXT, VALUES
from trajectories import Action, Step, vocabulary
from trajectories.store import read_trajectories
from trajectories.types import JSON
from trajectories.vocabulary import EDITORS, KINDS, Canonical, canonical, original


def call(tool: str, **arguments: JSON) -> Action:
    return Action(name=tool, arguments=arguments)


def same(action: Action, other: Action) -> bool:
    """Compare as JSON: 1, 1.0 and true are three values."""
    lines = [json.dumps([a.name, dict(a.arguments)], sort_keys=True) for a in (action, other)]
    return lines[0] == lines[1]


@pytest.mark.parametrize(
    ("actions", "kind", "arguments"),
    [
        (
            [
                call("bash", command="ls"),
                call("Bash", command="ls", description="List"),
                call("execute_bash", command="ls"),
            ],
            "run",
            {"command": "ls"},
        ),
        (
            [
                call("str_replace_editor", command="view", path="/a.py", view_range=[10, 14], file_text=None),
                call("str_replace_based_edit_tool", command="view", path="/a.py", view_range=[10, 14]),
                call("Read", file_path="/a.py", offset=10, limit=5),
                call("read", command="view", path="/a.py", view_range=[10, 14]),
            ],
            "view",
            {"path": "/a.py", "start": 10, "end": 14},
        ),
        (
            [call("Read", file_path="/a.py"), call("bash", command="open /a.py"), call("open", path="/a.py")],
            "view",
            {"path": "/a.py"},
        ),
        (
            [
                call("str_replace_editor", command="create", path="/a.py", file_text="x"),
                call("Write", file_path="/a.py", content="x"),
            ],
            "create",
            {"path": "/a.py", "text": "x"},
        ),
        (
            [
                call("str_replace_editor", command="str_replace", path="/a.py", old_str="x", new_str="y"),
                call("Edit", file_path="/a.py", old_string="x", new_string="y"),
                call("edit", command="str_replace", path="/a.py", old_str="x", new_str="y"),
            ],
            "replace",
            {"path": "/a.py", "old": "x", "new": "y"},
        ),
        (
            [call("bash", command="edit 3:4\nx = 1\nend_of_edit")],
            "replace",
            {"start": 3, "end": 4, "new": "x = 1"},
        ),
        (
            [call("str_replace_editor", command="insert", path="/a.py", insert_line=3, new_str="x")],
            "insert",
            {"path": "/a.py", "line": 3, "text": "x"},
        ),
        ([call("file_editor", command="undo_edit", path="/a.py")], "undo", {"path": "/a.py"}),
        (
            [
                call("bash", command='search_dir "def f" src'),
                call("Grep", pattern="def f", path="src"),
                call("search_dir", search_term="def f", dir="src"),
                call("FindCodeSnippet", code_snippet="def f", file_pattern="src"),
            ],
            "search",
            {"pattern": "def f", "path": "src"},
        ),
        ([call("submit"), call("bash", command="submit"), call("finish")], "submit", {}),
        (
            [call("task_done", message="m"), call("finish", message="m"), call("Finish", finish_reason="m")],
            "submit",
            {"message": "m"},
        ),
        (
            [call("think", thought="t"), call("sequentialthinking", thought="t", thought_number=1)],
            "think",
            {"thought": "t"},
        ),
    ],
)
def test_calls_that_do_the_same_are_the_same(
    actions: list[Action], kind: str, arguments: dict[str, JSON]
) -> None:
    for action in actions:
        found = canonical(action)
        assert found is not None
        assert (found.kind, found.arguments) == (kind, arguments)
        assert same(original(found), action)


@pytest.mark.parametrize(
    "action",
    [
        call("KillShell", shell_id="1"),
        call("str_replace_editor", command="rewrite", path="/a"),
        call("str_replace_editor", path="/a"),
        call("str_replace_editor", command=["view"], path="/a"),
    ],
)
def test_calls_outside_the_vocabulary_are_none(action: Action) -> None:
    assert canonical(action) is None


@pytest.mark.parametrize(
    "line",
    [
        "open  a.py", "open a.py 07", "open a.py; rm b", "goto x y z", "submit now please", "edit 1:x\na\nend_of_edit",
        "edit 01:2\na\nend_of_edit", "search_dir 'a' 'b' 'c'", "open 'it''s'", "scroll_down 3", "open a.py | head", "",
    ],
)  # fmt: skip
def test_lines_that_cannot_be_rebuilt_exactly_stay_lines(line: str) -> None:
    found = canonical(call("bash", command=line))
    assert found is not None
    assert (found.kind, found.arguments) == ("run", {"command": line})


WORDS = st.lists(
    st.sampled_from(
        ["open", "edit", "1:2", "search_dir", "submit", '"a b"', "'c'", "a", "7", "\n", "end_of_edit", "goto"]
    )
    | TEXT,
    max_size=6,
)
TOOLS = sorted(vocabulary._TOOLS.keys() | EDITORS | {"Unknown", "READ", "edit"})
NAMES = sorted(
    {name for rule in [*vocabulary._TOOLS.values(), *vocabulary._EDITOR.values()] for name in rule.names}
    | {"view_range", "offset", "limit", "other"}
)
ANY = (
    VALUES
    | st.sampled_from(list(vocabulary._EDITOR))
    | st.lists(st.integers(-2, 50), max_size=3)
    | WORDS.map(" ".join)
    | WORDS.map("\n".join)
)


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(TOOLS), st.dictionaries(st.sampled_from(NAMES), ANY, max_size=5))
def test_any_call_comes_back_exactly(tool: str, arguments: dict[str, JSON]) -> None:
    action = Action(name=tool, arguments=arguments)
    found = canonical(action)
    if found is not None:
        assert same(original(found), action)
        assert set(found.arguments) <= set(KINDS[found.kind])
        assert None not in found.arguments.values()


def test_no_two_arguments_of_a_tool_have_one_name() -> None:
    for tool, rule in {**vocabulary._TOOLS, **vocabulary._EDITOR}.items():
        assert len(set(rule.names.values())) == len(rule.names), tool
        assert set(rule.names.values()) <= set(KINDS[rule.kind]), tool


def test_a_call_that_canonical_never_returns_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"Read .*makes no call of the kind search"):
        original(Canonical(kind="search", arguments={}, tool="Read"))


def test_every_kind_of_call_is_a_kind_of_step() -> None:
    for tool in vocabulary._TOOLS:
        step = Step(thought="", actions=(Action(name=tool, arguments={}),), observation="")
        assert step_kind(step) in STEP_KINDS
        assert vocabulary._TOOLS[tool].kind == "run" or step_kind(step) != "bash", tool


@pytest.mark.parametrize(
    ("action", "kind"),
    [
        (call("exec_command", cmd="rg -n parse"), "search"),
        (call("shell", command=["bash", "-lc", "sed -n 1,5p a.py"]), "read"),
        (call("shell", command=["rg", "parse"]), "search"),
        (call("shell", command=["pytest"]), "bash"),
        (call("shell", command=[1]), "bash"),
        (call("replace", file_path="/a.py", old_string="x", new_string="y"), "edit"),
        (call("read_file", file_path="/a.py", offset=1, limit=2), "read"),
        (call("edit", path="a.py", oldText="x", newText="y"), "edit"),
        (call("update_plan", plan=[]), "planning"),
    ],
)
def test_calls_of_command_line_agents(action: Action, kind: str) -> None:
    assert step_kind(Step(thought="", actions=(action,), observation="")) == kind
    found = canonical(action)
    assert found is not None
    assert same(original(found), action)


def test_all_calls_of_the_demo_are_in_the_vocabulary() -> None:
    actions = [a for t in read_trajectories(expert_path()) for step in t.steps for a in step.actions]
    assert len(actions) > 200
    for action in actions:
        found = canonical(action)
        assert found is not None
        assert same(original(found), action)
