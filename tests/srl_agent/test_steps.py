"""From trajectories to target steps: the N−1 rule, windows, truncation, the split, kinds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product

import pytest

from harness.demo import expert_path
from harness.demo.math import solved_path
from srl_agent.formats import ActionFormat, UnrepresentableActionError, get_format
from srl_agent.rewards import baseline_step
from srl_agent.step_kinds import step_kind
from srl_agent.steps import (
    StepExample,
    StepRef,
    StepSettings,
    render_example,
    select_steps,
    truncate_middle,
    window_start,
)
from tests.srl_agent.step_targets import target_indices
from trajectories import Action, Step, Trajectory
from trajectories.store import read_trajectories

XML = get_format("xml")


def step(command: str, observation: str = "done") -> Step:
    return Step(
        thought="t", actions=(Action(name="bash", arguments={"command": command}),), observation=observation
    )


def trajectory(steps: int = 5, instance: str = "acme__widgets-1") -> Trajectory:
    return Trajectory(
        trajectory_id=f"{instance}.{steps}",
        instance_id=instance,
        task="Fix it.",
        steps=tuple(step(f"echo {i}", f"out {i}") for i in range(steps)),
        source="test",
    )


def test_the_last_step_is_no_target_unless_asked_for() -> None:
    assert list(target_indices(trajectory(5), StepSettings())) == [0, 1, 2, 3]
    assert list(target_indices(trajectory(5), StepSettings(include_last_step=True))) == [0, 1, 2, 3, 4]
    assert list(target_indices(trajectory(0), StepSettings())) == []


def test_steps_without_an_action_are_context_and_do_not_count() -> None:
    said = Step(thought="Shall I?", actions=(), observation="Yes.")
    a, b, c = step("echo a"), step("echo b"), step("echo c")
    mixed = replace(trajectory(), steps=(said, a, said, b, said, c, said))
    assert target_indices(mixed, StepSettings()) == [1, 3]
    assert [window_start(mixed.steps[:5], window) for window in (0, 1, 2, 3, None)] == [5, 3, 0, 0, 0]
    example = render_example(mixed, 5, settings=StepSettings(context_window=1), action_format=XML)
    shown = [message["content"] for message in example.prompt[2:]]
    assert shown == [XML.render_actions(b.actions), "OBSERVATION:\ndone", "Shall I?", "OBSERVATION:\nYes."]
    assert baseline_step("repeat_last_action", mixed, 5).actions == b.actions


def test_a_context_only_step_is_shown_and_counts_but_is_no_target() -> None:
    marked = trajectory()
    marked = replace(
        marked, steps=(*marked.steps[:2], replace(marked.steps[2], target=False), *marked.steps[3:])
    )
    assert target_indices(marked, StepSettings()) == [0, 1, 3]
    refs, left_out = select_steps([marked], settings=StepSettings(), action_format=XML)
    assert [ref.step for ref in refs] == [0, 1, 3]
    assert left_out == {"context only (a filter of harness.convert)": 1}
    for index in (3, 4):
        settings = StepSettings(context_window=1)
        before, now = (
            render_example(t, index, settings=settings, action_format=XML) for t in (trajectory(), marked)
        )
        assert before == now
    last = replace(marked, steps=(*marked.steps[:4], replace(marked.steps[4], target=False)))
    assert target_indices(last, StepSettings(include_last_step=True)) == [0, 1, 3]


@pytest.mark.parametrize(
    ("window", "shown"), [(2, ["echo 2", "echo 3"]), (None, [f"echo {i}" for i in range(4)]), (0, [])]
)
def test_the_window_shows_the_last_pairs(window: int | None, shown: list[str]) -> None:
    example = render_example(trajectory(), 4, settings=StepSettings(context_window=window), action_format=XML)
    text = "".join(m["content"] for m in example.prompt)
    assert [f"echo {i}" for i in range(5) if f">echo {i}<" in text] == shown
    assert ("earlier steps are not shown" in text) == (window is not None)


def test_the_target_is_never_in_its_prompt() -> None:
    settings = StepSettings(context_window=None)
    for expert in read_trajectories(expert_path()):
        for index in target_indices(expert, settings):
            example = render_example(expert, index, settings=settings, action_format=XML)
            earlier = [XML.render_actions(s.actions) for s in expert.steps[:index]]
            if example.expert_action not in earlier:
                assert all(m["content"] != example.expert_action for m in example.prompt)


def test_full_context_prompts_are_prefixes_of_each_other() -> None:
    settings = StepSettings(context_window=None)
    prompts = [render_example(trajectory(), i, settings=settings, action_format=XML).prompt for i in range(4)]
    for shorter, longer in pairwise(prompts):
        assert longer[: len(shorter)] == shorter


def test_truncation_keeps_head_and_tail_and_says_so() -> None:
    assert truncate_middle("abc", 3) == "abc"
    assert truncate_middle("a" * 50 + "b" * 50, 5) == "aaa\n[95 characters left out]\nbb"
    assert truncate_middle("ab" * 9, 0).strip() == "[18 characters left out]"


def test_long_tasks_and_observations_are_cut_in_the_prompt_only() -> None:
    source = trajectory()
    settings = StepSettings(max_task_chars=2, max_observation_chars=2)
    example = render_example(source, 2, settings=settings, action_format=XML)
    assert example.prompt[1]["content"].startswith("F\n[5 characters left out]\n.")
    assert example.prompt[3]["content"] == "OBSERVATION:\no\n[3 characters left out]\n0"
    assert source == trajectory()


def test_skipped_steps_are_counted() -> None:
    long = Trajectory(
        trajectory_id="x", instance_id="x", task="t", source="test",
        steps=(step("short"), step("l" * 99), Step(thought="", actions=(), observation=""), step("end")),
    )  # fmt: skip
    refs, left_out = select_steps([long], settings=StepSettings(max_action_chars=120), action_format=XML)
    assert [ref.step for ref in refs] == [0]
    assert left_out == {"expert action over max_action_chars": 1, "no action": 1}
    _, left_out = select_steps(
        [trajectory()], settings=StepSettings(), action_format=get_format("bash-block")
    )
    assert not left_out


def selected_by_rendering(
    trajectories: Sequence[Trajectory], settings: StepSettings, action_format: ActionFormat
) -> tuple[list[StepRef], Counter[str]]:
    """Return the result of ``select_steps`` by rendering the whole prompt of every step."""
    refs, left_out = [], Counter(no_action(trajectories))
    for position, expert in enumerate(trajectories):
        for index in target_indices(expert, settings):
            try:
                row = render_example(expert, index, settings=settings, action_format=action_format)
            except UnrepresentableActionError:
                left_out[f"not representable as {action_format.name}"] += 1
                continue
            if settings.max_action_chars and len(row.expert_action) > settings.max_action_chars:
                left_out["expert action over max_action_chars"] += 1
            elif settings.max_prompt_chars and prompt_chars(row) > settings.max_prompt_chars:
                left_out["prompt over max_prompt_chars"] += 1
            else:
                refs.append(StepRef(trajectory=position, step=index))
    return refs, left_out


def no_action(trajectories: Sequence[Trajectory]) -> dict[str, int]:
    found = sum(not step.actions for expert in trajectories for step in expert.steps)
    return {"no action": found} if found else {}


def with_prose(expert: Trajectory) -> Trajectory:
    """Insert a step without an action before every third step."""
    said = Step(thought="Shall I go on?", actions=(), observation="Yes.")
    steps = [s for i, step in enumerate(expert.steps) for s in ((said, step) if i % 3 == 0 else (step,))]
    return replace(expert, steps=tuple(steps))


@pytest.mark.parametrize("window", [0, 1, 2, None])
@pytest.mark.parametrize("name", ["xml", "hermes", "bash-block", "math-step"])
def test_steps_are_selected_as_if_every_prompt_was_rendered(name: str, window: int | None) -> None:
    """The selection renders no prompt; its result is that of rendering them, to the character."""
    action_format = get_format(name)
    if name == "math-step":  # the second kind is no step of a solution
        data = [*list(read_trajectories(solved_path()))[:40], *list(read_trajectories(expert_path()))[:2]]
    else:
        data = [with_prose(t) if i % 2 else t for i, t in enumerate(read_trajectories(expert_path()))]
    reasons: set[str] = set()
    for observation, last, title in product((None, 40), (False, True), (False, True)):
        settings = StepSettings(
            context_window=window,
            max_observation_chars=observation,
            max_task_chars=observation,
            include_last_step=last,
            show_title=title and name == "math-step",
        )
        rows = [
            row
            for expert in data
            for index in target_indices(expert, settings)
            if (row := rendered(expert, index, settings, action_format)) is not None
        ]
        chars = sorted(prompt_chars(row) for row in rows)[len(rows) // 2]  # one prompt has just that length
        actions = sorted(len(row.expert_action) for row in rows)[len(rows) // 2]
        for action_limit, prompt_limit in product((None, actions), (None, chars, chars - 1)):
            limited = replace(settings, max_action_chars=action_limit, max_prompt_chars=prompt_limit)
            refs, left_out = select_steps(data, settings=limited, action_format=action_format)
            assert (refs, left_out) == selected_by_rendering(data, limited, action_format)
            assert refs
            reasons |= set(left_out)
    expected = {"expert action over max_action_chars", "prompt over max_prompt_chars"}
    expected |= {"not representable as " + name} if name in ("bash-block", "math-step") else set()
    assert reasons - {"no action"} == expected


def prompt_chars(row: StepExample) -> int:
    return sum(len(message["content"]) for message in row.prompt)


def rendered(
    expert: Trajectory, index: int, settings: StepSettings, action_format: ActionFormat
) -> StepExample | None:
    try:
        return render_example(expert, index, settings=settings, action_format=action_format)
    except UnrepresentableActionError:
        return None


def test_prompts_that_show_an_unrepresentable_step_are_skipped() -> None:
    odd = Step(thought="t", actions=(Action(name="two words", arguments={}),), observation="x")
    mixed = replace(trajectory(), steps=(step("a"), odd, *(step(f"echo {i}") for i in range(4))))
    for window, kept in ((0, [0, 2, 3, 4]), (1, [0, 3, 4]), (2, [0, 4]), (None, [0])):
        settings = StepSettings(context_window=window)
        refs, left_out = select_steps([mixed], settings=settings, action_format=XML)
        assert [ref.step for ref in refs] == kept
        assert left_out == {"not representable as xml": 5 - len(kept)}


def test_the_selection_renders_a_step_no_more_often_in_a_longer_trajectory() -> None:
    class Counting:
        name = "counting"
        rendered = 0

        def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
            return ""

        def render(self, actions: Sequence[Action]) -> str:
            self.rendered += 1
            return "x"

        def parse(self, text: str) -> tuple[Action, ...]:
            raise AssertionError("the selection reads nothing")

    counts = []
    for steps in (10, 20, 40):
        syntax = Counting()
        action_format = ActionFormat(syntax=syntax, tools={})
        select_steps(
            [trajectory(steps)],
            settings=StepSettings(context_window=None, max_prompt_chars=999),
            action_format=action_format,
        )
        counts.append(syntax.rendered / steps)
    assert max(counts) <= 2.0  # as context, and as a target


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("cd /testbed && grep -rn x src", "search"),
        ("ls", "search"),
        ("FOO=1 cat a.py", "read"),
        ("cat > a.py <<EOF\nx\nEOF", "bash"),
        ("sed -n 1,5p a.py", "read"),
        ("sed -i s/a/b/ a.py", "edit"),
        ("python -m pytest", "bash"),
        ("str_replace_editor view /testbed/a.py", "read"),
        ("edit 1:3\nx = 1\nend_of_edit", "edit"),
        ("submit", "finish"),
        ("", "bash"),
    ],
)
def test_kinds_of_shell_commands(command: str, kind: str) -> None:
    assert step_kind(step(command)) == kind


@pytest.mark.parametrize(
    ("name", "arguments", "kind"),
    [
        ("str_replace_editor", {"command": "view"}, "read"),
        ("str_replace_based_edit_tool", {"command": "create"}, "edit"),
        ("submit", {}, "finish"),
        ("TodoWrite", {}, "planning"),
        ("Grep", {}, "search"),
        ("sequentialthinking", {}, "think"),
    ],
)
def test_kinds_of_tools(name: str, arguments: dict[str, str], kind: str) -> None:
    assert (
        step_kind(Step(thought="", actions=(Action(name=name, arguments=arguments),), observation="")) == kind
    )
