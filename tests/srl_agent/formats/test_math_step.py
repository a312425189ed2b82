"""Steps of solutions as actions: round trips, prompts, titles, and how a rollout ends."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.demo.math import solved_path
from srl_agent.formats import FormatError, Message, UnrepresentableActionError, get_format
from srl_agent.formats.math_step import (
    MathStepFormat,
    solution_prompt,
    solution_text,
    title_of,
    without_title,
)
from srl_agent.policies import Completion, ContextOverflowError, PolicyError, Sampling
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds import Rollout, ScaffoldTask, load_scaffold
from srl_agent.scaffolds.math import SOLUTION, MathScaffold
from srl_agent.step_kinds import KINDS, step_kind
from srl_agent.steps import (
    StepSettings,
    render_example,
    render_next,
    select_steps,
)
from tests.srl_agent.step_targets import target_indices
from trajectories import Action, Step, Trajectory
from trajectories.store import read_trajectories

MATH = get_format("math-step")
SOLVED = list(read_trajectories(solved_path()))
FULL = StepSettings(context_window=None)


def action(text: Any, title: Any = "") -> Action:
    return Action(name="step", arguments={**({"title": title} if title else {}), "text": text})


def step(text: str, title: str = "", thought: str = "") -> Step:
    return Step(thought=thought, actions=(action(text, title),), observation="")


def solved(*steps: Step, task: str = "What is 2 + 2?") -> Trajectory:
    return Trajectory(trajectory_id="t", instance_id="t", task=task, steps=steps, source="math")


ADD, BOX = step("2 + 2 = 4.", "Add"), step("It is \\boxed{4}.", "Box")


# --- There and back


def test_the_format_has_its_own_prompts() -> None:
    assert isinstance(MATH, MathStepFormat)
    assert MATH.name == "math-step"


def test_round_trip_of_the_embedded_solutions() -> None:
    count = 0
    for trajectory in SOLVED:
        for one in trajectory.steps:
            given_step = replace(one, thought="Go on.")
            assert MATH.parse(MATH.render(given_step)) == given_step
            count += 1
    assert count > 900


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["**", "**Bold** ", "1. ", "2) ", "\n", "\n\n", "   ", ":", "<think>", "</think>", "\\boxed{"]
        ),
        st.text(max_size=8),
    ),
    max_size=6,
).map("".join)
ARGUMENTS = st.one_of(
    st.fixed_dictionaries({"text": PIECES}, optional={"title": PIECES}),
    st.fixed_dictionaries({"text": PIECES}, optional={"title": PIECES, "number": st.integers()}),
)


@settings(max_examples=600)
@given(arguments=ARGUMENTS, thought=st.text(min_size=1, max_size=30).map(str.strip).filter(bool))
def test_what_is_rendered_is_parsed_to_the_same(arguments: dict[str, Any], thought: str) -> None:
    given_step = Step(thought=thought, actions=(Action(name="step", arguments=arguments),), observation="")
    try:
        text = MATH.render(given_step)
    except UnrepresentableActionError:
        return
    assert MATH.parse(text) == given_step


@settings(max_examples=200)
@given(
    title=st.from_regex(r"\A[A-Za-z][a-z ]{0,10}[a-z]\Z"),
    lines=st.lists(st.from_regex(r"\A[a-z=+ ]{0,8}[a-z]\Z"), min_size=1),
)
def test_plain_steps_are_always_representable(title: str, lines: list[str]) -> None:
    one = step("\n".join([lines[0].strip(), *lines[1:]]), title, "Go on.")
    assert MATH.parse(MATH.render(one)) == one


@pytest.mark.parametrize(
    "actions",
    [
        (),
        (action("a"), action("b")),
        (Action(name="bash", arguments={"command": "ls"}),),
        (Action(name="step", arguments={}),),
        (Action(name="step", arguments={"text": 4}),),
        (Action(name="step", arguments={"text": "a", "title": ["A"]}),),
        (Action(name="step", arguments={"text": "a", "title": ""}),),  # read back without a title
        (Action(name="step", arguments={"text": "a", "number": 1}),),  # the number would be lost
        (action(""),),
        (action(" a"),),
        (action("a\n"),),
        (action("a \nb"),),
        (action("1. a"),),
        (action("**A** b"),),  # its text would become a title
        (action("", "Title"),),
        (action("a", "Title:"),),
        (action("a", "two\nlines"),),
        (action("a", "b** c **d"),),
        (action("I <think> so"),),
    ],
)
def test_what_cannot_be_written_is_refused(actions: tuple[Action, ...]) -> None:
    with pytest.raises(UnrepresentableActionError):
        MATH.render(Step(thought="t", actions=actions, observation=""))


@pytest.mark.parametrize(
    "written",
    ["**Add** 2 + 2 = 4.", "1. **Add** 2 + 2 = 4.", "12) **Add:** 2 + 2 = 4.", "\n3.  **Add**\n2 + 2 = 4.\n"],
)
def test_a_number_in_front_is_understood(written: str) -> None:
    assert MATH.parse(f"<think>Add.</think>{written}").actions == ADD.actions


def test_a_decimal_in_front_is_no_number_of_a_step() -> None:
    assert MATH.syntax.parse("2.5 is more.") == (action("2.5 is more."),)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("**Add** 4", "no <think>"),
        ("<think> </think>**Add** 4", "empty thought"),
        ("<think>a</think>", "no action"),
    ],
)
def test_bad_completions_say_why(completion: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        MATH.parse(completion)


def test_an_action_without_a_text_is_none() -> None:
    with pytest.raises(FormatError, match="needs a text"):
        MATH.syntax.parse(" \n")


# --- Prompts


def text_of(prompt: Sequence[Message]) -> str:
    return prompt[-1]["content"]


def test_the_first_prompt() -> None:
    system, user = MATH.render_prompt("What is 2 + 2?", [])
    assert (system["role"], user["role"]) == ("system", "user")
    assert user["content"] == "Problem:\nWhat is 2 + 2?\n\nNo steps yet.\n\nWrite step 1."
    for said in ("<think>", "not the whole solution", "\\boxed{}", "a short title between ** and **"):
        assert said in system["content"]


def test_the_solution_so_far_is_in_the_user_message() -> None:
    history = [step("a\nb", "Add", "a secret"), step("c")]
    shown = text_of(MATH.render_prompt("Q", history))
    assert shown == "Problem:\nQ\n\nSteps so far:\n1. **Add** a\n   b\n\n2. c\n\nWrite step 3."


def test_omitted_steps_are_mentioned_and_counted() -> None:
    shown = text_of(
        render_next("Q", [ADD, ADD, BOX], settings=StepSettings(context_window=1), action_format=MATH)
    )
    assert "[2 earlier steps are not shown]\n\nSteps so far:\n3. **Box**" in shown
    assert shown.endswith("Write step 4.")
    none = text_of(render_next("Q", [ADD, BOX], settings=StepSettings(context_window=0), action_format=MATH))
    assert none == "Problem:\nQ\n\n[2 earlier steps are not shown]\n\nNo steps yet.\n\nWrite step 3."


def test_a_long_problem_is_cut_in_the_middle() -> None:
    shown = text_of(
        render_next("0123456789", [], settings=StepSettings(max_task_chars=4), action_format=MATH)
    )
    assert "Problem:\n01\n[6 characters left out]\n89\n" in shown


def test_the_prompt_for_a_whole_solution_asks_for_what_a_reader_of_steps_reads() -> None:
    system, user = solution_prompt("Q")
    assert user["content"] == "Problem:\nQ"
    assert "numbered steps" in system["content"]
    assert "\\boxed{}" in system["content"]
    assert solution_text([ADD, BOX]) == "1. **Add** 2 + 2 = 4.\n\n2. **Box** It is \\boxed{4}."
    with pytest.raises(UnrepresentableActionError, match="bash is no step"):
        solution_text([Step(thought="", actions=(Action(name="bash", arguments={}),), observation="")])


# --- Targets


def test_the_last_step_is_no_target_unless_asked_for() -> None:
    for trajectory in SOLVED[:20]:
        steps = list(range(len(trajectory.steps)))
        assert target_indices(trajectory, FULL) == steps[:-1]
        assert target_indices(trajectory, replace(FULL, include_last_step=True)) == steps
    refs, left_out = select_steps(SOLVED, settings=FULL, action_format=MATH)
    assert len(refs) == sum(len(trajectory.steps) - 1 for trajectory in SOLVED)
    assert not left_out


def test_the_answer_is_in_no_prompt_and_no_target_of_the_embedded_problems() -> None:
    for trajectory in SOLVED[:40]:
        for index in target_indices(trajectory, FULL):
            example = render_example(trajectory, index, settings=FULL, action_format=MATH)
            assert "boxed{" not in text_of(example.prompt) + example.expert_action
            assert example.kind == "math"


def test_a_title_in_the_prompt_is_not_in_the_target() -> None:
    shown = StepSettings(context_window=None, show_title=True)
    example = render_example(
        solved(ADD, step("Half of it is 2.", "Halve"), BOX), 1, settings=shown, action_format=MATH
    )
    assert text_of(example.prompt).endswith("Write step 2. Its title is **Halve**. Write its content.")
    assert "1. **Add** 2 + 2 = 4." in text_of(example.prompt)  # titles of steps that are done stay
    assert example.expert_action == "Half of it is 2."
    assert MATH.parse(f"<think>t</think>{example.expert_action}").actions == example.expert.actions
    hidden = render_example(
        solved(ADD, step("Half of it is 2.", "Halve"), BOX), 1, settings=FULL, action_format=MATH
    )
    assert hidden.expert_action == "**Halve** Half of it is 2."
    assert "Halve" not in text_of(hidden.prompt)


def test_a_step_without_a_title_is_shown_none() -> None:
    shown = StepSettings(context_window=None, show_title=True)
    example = render_example(solved(step("Half."), BOX), 0, settings=shown, action_format=MATH)
    assert text_of(example.prompt).endswith("Write step 1.")
    assert example.expert_action == "Half."


def test_a_text_that_reads_as_a_title_is_skipped_if_titles_are_shown() -> None:
    shown = StepSettings(context_window=None, show_title=True)
    data = [solved(step("**Case 1** x = 2", "Cases"), step("2. is next", "Count"), BOX)]
    assert len(select_steps(data, settings=FULL, action_format=MATH)[0]) == 2
    refs, left_out = select_steps(data, settings=shown, action_format=MATH)
    assert (refs, left_out) == ([], {"not representable as math-step": 2})


def test_titles() -> None:
    assert (title_of(ADD), title_of(step("a")), title_of(Step(thought="", actions=(), observation=""))) == (
        "Add",
        "",
        "",
    )
    assert without_title(ADD) == step("2 + 2 = 4.")
    assert without_title(step("a", thought="t")) == step("a", thought="t")


def test_the_kind_of_a_step() -> None:
    assert step_kind(ADD) == "math"
    assert "math" in KINDS


# --- Rollouts

TASK = ScaffoldTask(instance_id="p", repo="", problem_statement="What is 2 + 2?")


class Answers:
    """A policy with scripted completions, which records prompts; an error in the script is raised in its turn."""

    name = "answers"

    def __init__(self, *answers: str | Exception, cut: Sequence[int] = ()) -> None:
        self.answers, self.cut, self.given = list(answers), set(cut), 0  # cut: those that are cut off, from 1
        self.prompts: list[Sequence[Message]] = []
        self.asked: list[tuple[int, Sampling]] = []

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.prompts.append(prompt)
        self.asked.append((n, sampling))
        made = []
        for _ in range(n):
            answer = self.answers[self.given]
            self.given += 1
            if isinstance(answer, Exception):
                raise answer
            made.append(
                Completion(
                    text=answer, finish_reason="length" if self.given in self.cut else "stop",
                    prompt_tokens=7, completion_tokens=len(answer.split()),
                )
            )  # fmt: skip
        return made


def attempt(policy: Any, mode: Literal["single", "steps"] = "steps", **settings: Any) -> Rollout:
    return MathScaffold(mode=mode, **settings).run(TASK, policy)


def test_a_single_answer_is_one_step_and_the_whole_text_is_verified() -> None:
    text = "<think>\nAdd.\n</think>\n\n1. **Add** 4.\n\n2. **Box** \\boxed{4}"
    policy = Answers(text)
    rollout = attempt(policy, "single")
    assert (rollout.status, rollout.error, len(rollout.completions)) == ("submitted", None, 1)
    (only,) = rollout.trajectory.steps
    assert only == Step(
        thought="Add.",
        actions=(Action(name="solution", arguments={"text": "1. **Add** 4.\n\n2. **Box** \\boxed{4}"}),),
        observation="",
    )
    assert rollout.trajectory.metadata[SOLUTION] == text
    assert (rollout.trajectory.source, rollout.trajectory.model) == ("math", "answers")
    assert policy.prompts == [solution_prompt(TASK.problem_statement)]


def test_a_single_answer_that_is_cut_off() -> None:
    rollout = attempt(Answers("1. **Add** 2 +", cut=[1]), "single")
    assert (rollout.status, len(rollout.trajectory.steps[0].actions)) == ("token_limit", 1)
    thinking = attempt(Answers("<think>\nWhat if", cut=[1]), "single")
    assert (thinking.status, thinking.trajectory.steps[0].actions) == ("token_limit", ())


def test_n_single_answers_are_asked_for_at_once() -> None:
    policy = Answers("\\boxed{1}", "\\boxed{2}", "\\boxed{3}")
    rollouts = MathScaffold().attempts(TASK, policy, n=3, sampling=Sampling(temperature=1.0, max_tokens=9))
    assert [rollout.trajectory.metadata[SOLUTION] for rollout in rollouts] == [
        "\\boxed{1}",
        "\\boxed{2}",
        "\\boxed{3}",
    ]
    assert policy.asked == [(3, Sampling(temperature=1.0, max_tokens=9))]


def test_a_problem_that_does_not_fit_the_context_is_a_rollout_without_an_answer() -> None:
    policy = Answers(ContextOverflowError("9 tokens, 8 fit"))
    rollouts = MathScaffold().attempts(TASK, policy, n=2, sampling=Sampling())
    assert [(r.status, r.error, r.trajectory.steps, r.trajectory.metadata[SOLUTION]) for r in rollouts] == [
        ("token_limit", "9 tokens, 8 fit", (), "")
    ] * 2


def test_steps_go_on_until_a_box_on_the_prompts_of_training() -> None:
    for trajectory in SOLVED[::60]:
        task = ScaffoldTask(instance_id="p", repo="", problem_statement=trajectory.task)
        script = ScriptedPolicy.from_trajectories([trajectory], action_format=MATH, settings=FULL)
        rollout = MathScaffold(mode="steps").run(task, script)
        assert rollout.status == "submitted"
        assert [one.actions for one in rollout.trajectory.steps] == [one.actions for one in trajectory.steps]
        assert rollout.trajectory.metadata[SOLUTION] == solution_text(trajectory.steps)
        assert len(rollout.completions) == len(trajectory.steps)


def test_steps_may_think_anywhere_or_not_at_all() -> None:
    policy = Answers(
        "<think>Add.</think>**Add** 2 + 2 = 4.",
        "2. **Check** Yes.",
        "The template opened it.</think>\n**Look** At it.",
        "**Box** \\boxed{4} <think>and so",
    )
    rollout = attempt(policy)
    assert rollout.status == "submitted"
    assert [one.thought for one in rollout.trajectory.steps] == ["Add.", "", "The template opened it.", ""]
    assert rollout.trajectory.metadata[SOLUTION] == (
        "1. **Add** 2 + 2 = 4.\n\n2. **Check** Yes.\n\n3. **Look** At it.\n\n4. **Box** \\boxed{4}"
    )
    assert [text_of(prompt)[-len("Write step 1.") :] for prompt in policy.prompts] == [
        f"Write step {number}." for number in (1, 2, 3, 4)
    ]
    assert "Add.</think>" not in "".join(map(text_of, policy.prompts))


@pytest.mark.parametrize("last", ["**Box** \\boxed{4}", "It is $\\boxed 4$.", "**It is \\boxed{4}** indeed"])
def test_a_box_ends_it(last: str) -> None:
    rollout = attempt(Answers("**Add** 4.", last, PolicyError("asked too often")))
    assert (rollout.status, len(rollout.trajectory.steps)) == ("submitted", 2)


def test_a_box_in_the_thinking_ends_nothing() -> None:
    rollout = attempt(Answers("<think>\\boxed{4}?</think>**Add** 4.", "\\boxed{4}"))
    assert len(rollout.trajectory.steps) == 2


@pytest.mark.parametrize("text", ["<think>And then", "<think>a</think>", "", "  "])
def test_a_malformed_step_ends_it_and_keeps_what_was_done(text: str) -> None:
    rollout = attempt(Answers("**Add** 4.", text))
    assert (rollout.status, len(rollout.trajectory.steps), len(rollout.completions)) == ("step_limit", 1, 2)
    assert rollout.error is not None
    assert rollout.error.startswith("step 2 is none: ")
    assert rollout.trajectory.metadata[SOLUTION] == "1. **Add** 4."


@pytest.mark.parametrize(("text", "kept"), [("**Halve** It is", 2), ("<think>And then what if", 1)])
def test_a_step_that_is_cut_off_ends_it(text: str, kept: int) -> None:
    rollout = attempt(Answers("**Add** 4.", text, "\\boxed{4}", cut=[2]))
    assert (rollout.status, len(rollout.trajectory.steps)) == ("token_limit", kept)
    assert rollout.error == f"step 2 was cut off at {len(text.split())} tokens"


def test_steps_that_fill_the_context_end_it() -> None:
    rollout = attempt(Answers("**Add** 4.", ContextOverflowError("too long")))
    assert (rollout.status, rollout.error, len(rollout.trajectory.steps)) == ("token_limit", "too long", 1)


def test_the_limit_of_steps() -> None:
    rollout = attempt(Answers(*["**Add** 4."] * 5), max_steps=3)
    assert (rollout.status, rollout.error, len(rollout.completions)) == ("step_limit", None, 3)


def test_n_attempts_by_steps_have_different_seeds() -> None:
    for seed, seeds in ((None, [None, None]), (5, [5, 6])):
        policy = Answers("\\boxed{1}", "\\boxed{2}")
        rollouts = MathScaffold(mode="steps").attempts(
            TASK, policy, n=2, sampling=Sampling(temperature=1.0, seed=seed)
        )
        assert [rollout.trajectory.metadata[SOLUTION] for rollout in rollouts] == [
            "1. \\boxed{1}",
            "1. \\boxed{2}",
        ]
        assert [sampling.seed for _, sampling in policy.asked] == seeds


@pytest.mark.parametrize("mode", ["single", "steps"])
def test_a_policy_error_passes_to_the_caller(mode: Literal["single", "steps"]) -> None:
    with pytest.raises(PolicyError, match="no server"):
        attempt(Answers(PolicyError("no server")), mode)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: MathScaffold(mode="both"), "single or steps, not 'both'"),  # type: ignore[arg-type]  # a wrong mode
        (lambda: MathScaffold(max_steps=0), "max_steps must be a whole number of at least 1, not 0"),
        (lambda: load_scaffold("math", {"max_step": 3}), "has no setting max_step"),
    ],
)
def test_wrong_settings(make: Callable[[], Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_the_scaffold_by_its_name() -> None:
    made = load_scaffold("math", {"mode": "steps", "sampling": {"max_tokens": 5}})
    assert isinstance(made, MathScaffold)
    assert (made.mode, made.sampling) == ("steps", Sampling(max_tokens=5))
