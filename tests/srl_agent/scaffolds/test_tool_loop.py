"""The tool loop: the expert's replay solves demo tasks, prompts are those of training, and every way it can end."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from harness.demo import expert_path
from harness.demo.sources import load_sources
from srl_agent.formats import Message, get_format
from srl_agent.policies import Completion, ContextOverflowError, PolicyError, Sampling
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds import Recorder, Rollout, ScaffoldTask
from srl_agent.scaffolds.tool_loop import ToolLoop
from srl_agent.steps import StepSettings, render_example
from tests.local_environment import LocalEnvironment, demo_task, resolves
from tests.scripted_answers import answers_in_turn
from trajectories.store import read_trajectories

XML, BASH = get_format("xml"), get_format("bash-block")
SOURCES = load_sources()
EXPERTS = {trajectory.instance_id: trajectory for trajectory in read_trajectories(expert_path())}
TASK = ScaffoldTask(instance_id="acme__widgets-1", repo="acme/widgets", problem_statement="Fix it.")
FILES = {"a.py": "x = 1\n"}


def call(command: str, thought: str = "Hm.") -> str:
    return f"<think>\n{thought}\n</think>\n\n<function=bash>\n<parameter=command>{command}</parameter>\n</function>"


SUBMIT = "<think>Done.</think><function=submit>\n</function>"


def attempt(
    *answers: str, files: Mapping[str, str] = FILES, **settings: Any
) -> tuple[Rollout, LocalEnvironment]:
    loop = ToolLoop(**{"action_format": XML, **settings})
    with LocalEnvironment(files) as environment:
        return loop.run(TASK, answers_in_turn({"Fix it.": answers}), environment), environment


class Watched:
    """A policy that records its prompts and calls a function before each answer."""

    def __init__(self, inner: ScriptedPolicy, before: Callable[[int], None] = lambda count: None) -> None:
        self.inner, self.before = inner, before
        self.prompts: list[list[Message]] = []
        self.samplings: list[Sampling] = []

    name = "watched"

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.before(len(self.prompts))
        self.prompts.append(list(prompt))
        self.samplings.append(sampling)
        return self.inner.generate(prompt, n=n, sampling=sampling)


@pytest.mark.parametrize("window", [2, None])
@pytest.mark.parametrize("source", SOURCES[::9], ids=lambda source: source.instance_id)
def test_the_expert_replayed_solves_its_task_on_training_prompts(source: Any, window: int | None) -> None:
    expert = EXPERTS[source.instance_id]
    settings = StepSettings(context_window=window, max_observation_chars=1500)
    policy = Watched(ScriptedPolicy.from_trajectories([expert], action_format=XML, settings=settings))
    loop = ToolLoop(action_format=XML, context_window=window, max_observation_chars=1500)
    with LocalEnvironment(source.buggy()) as environment:
        rollout = loop.run(demo_task(source), policy, environment)
    assert (rollout.status, rollout.error) == ("submitted", None)
    assert resolves(source, rollout.trajectory.patch)
    assert rollout.trajectory.patch == expert.patch
    masked = [masked_durations(step.observation) for step in rollout.trajectory.steps]
    assert masked == [step.observation for step in expert.steps]
    assert [step.actions for step in rollout.trajectory.steps] == [step.actions for step in expert.steps]
    for index, prompt in enumerate(policy.prompts):
        trained = render_example(expert, index, settings=settings, action_format=XML).prompt
        assert [{**m, "content": masked_durations(m["content"])} for m in prompt] == trained


def masked_durations(text: str) -> str:
    return re.sub(r"\bin \d+\.\d+s\b", "in 0.01s", text)


def test_several_actions_in_a_turn_run_in_order_and_join_their_observations() -> None:
    twice = call("echo one").replace("</function>", "</function>\n<function=bash>\n<parameter=command>")
    rollout, environment = attempt(f"{twice}echo two; false</parameter>\n</function>", SUBMIT)
    step = rollout.trajectory.steps[0]
    assert [name for name, _ in environment.executed] == ["bash", "bash", "submit"]
    assert step.observation == "one\ntwo\n[exit code 1]"
    assert [action.arguments["command"] for action in step.actions] == ["echo one", "echo two; false"]


def test_nothing_runs_behind_the_action_that_ends_it() -> None:
    both = f"<think>Done.</think><function=submit>\n</function>\n{call('echo late').partition('</think>')[2].strip()}"
    rollout, environment = attempt(both)
    assert rollout.status == "submitted"
    assert [name for name, _ in environment.executed] == ["submit"]


@pytest.mark.parametrize("name", ["task_done", "finish"])
def test_other_names_for_the_end(name: str) -> None:
    rollout, environment = attempt(SUBMIT.replace("submit", name))
    assert rollout.status == "submitted"
    assert [executed for executed, _ in environment.executed] == [name]


def test_bash_blocks_end_by_the_mark_of_mini_swe_agent() -> None:
    answers = [
        "<think>Fix.</think>\n```bash\nsed -i s/1/2/ a.py\n```",
        "<think>Not yet.</think>\n```bash\necho see COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT\n```",
        "<think>Done.</think>\n```bash\necho COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && git diff\n```",
    ]
    rollout, _ = attempt(*answers, action_format=BASH)
    assert rollout.status == "submitted"
    assert len(rollout.completions) == 3
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_a_malformed_answer_is_a_step_and_the_next_prompt_shows_what_was_wrong() -> None:
    policy = Watched(
        answers_in_turn({"Fix it.": ["<think>Look.</think>I would run ls.", call("ls"), SUBMIT]})
    )
    with LocalEnvironment(FILES) as environment:
        rollout = ToolLoop(action_format=XML).run(TASK, policy, environment)
    refused = rollout.trajectory.steps[0]
    assert refused.actions == ()
    assert refused.thought == "I would run ls."
    assert refused.observation.startswith(
        "Invalid response: expected a <function=…> call, found 'I would run ls.'. Nothing was executed."
    )
    assert policy.prompts[1][2:] == [
        {"role": "assistant", "content": "I would run ls."},
        {"role": "user", "content": f"OBSERVATION:\n{refused.observation}"},
    ]
    assert rollout.status == "submitted"
    assert len(rollout.completions) == 3


def test_malformed_answers_in_a_row_end_it_and_others_between_do_not() -> None:
    rollout, _ = attempt("one", "two", call("ls"), "three", "four", "five", max_malformed=3)
    assert rollout.status == "step_limit"
    assert rollout.error == "3 answers in a row had no action; the last: no <think>…</think> at the start"
    assert [bool(step.actions) for step in rollout.trajectory.steps] == [
        False,
        False,
        True,
        False,
        False,
        False,
    ]


def test_a_limit_of_steps_still_submits_what_is_there() -> None:
    rollout, _ = attempt(call("sed -i s/1/2/ a.py"), call("ls"), call("ls"), max_steps=2)
    assert (rollout.status, rollout.error) == ("step_limit", None)
    assert len(rollout.completions) == 2
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_a_limit_of_tokens_is_over_all_completions() -> None:
    long = call("echo " + "word " * 50)
    policy = Watched(answers_in_turn({"Fix it.": [long] * 9}))
    loop = ToolLoop(action_format=XML, max_completion_tokens=100, sampling=Sampling(max_tokens=70))
    with LocalEnvironment(FILES) as environment:
        rollout = loop.run(TASK, policy, environment)
    assert rollout.status == "token_limit"
    used = rollout.completions[0].completion_tokens
    assert [sampling.max_tokens for sampling in policy.samplings] == [70, 100 - used]


def test_a_limit_of_time() -> None:
    policy = Watched(answers_in_turn({"Fix it.": [call("ls")] * 9}), lambda count: time.sleep(0.2))
    with LocalEnvironment(FILES) as environment:
        rollout = ToolLoop(action_format=XML, max_seconds=0.3).run(TASK, policy, environment)
    assert rollout.status == "time_limit"
    assert len(rollout.completions) == 2


def test_a_context_that_overflows_is_a_limit_of_tokens() -> None:
    def overflow(count: int) -> None:
        if count == 1:
            raise ContextOverflowError("too long: 9000 tokens")

    policy = Watched(answers_in_turn({"Fix it.": [call("sed -i s/1/2/ a.py")]}), overflow)
    with LocalEnvironment(FILES) as environment:
        rollout = ToolLoop(action_format=XML).run(TASK, policy, environment)
    assert (rollout.status, rollout.error) == ("token_limit", "too long: 9000 tokens")
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_a_box_whose_time_is_over_is_a_limit_of_time() -> None:
    answers = [call("sed -i s/1/2/ a.py"), call("ls")]
    with LocalEnvironment(FILES, calls=1) as environment:
        loop = ToolLoop(action_format=XML)
        rollout = loop.run(TASK, answers_in_turn({"Fix it.": answers}), environment)
    assert (rollout.status, rollout.error) == ("time_limit", "the sandbox's time is over")
    assert [step.observation for step in rollout.trajectory.steps][1:] == ["the sandbox's time is over"]
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_what_breaks_the_policy_or_the_sandbox_passes() -> None:
    with pytest.raises(PolicyError, match="ends after 1 answers"):
        attempt(call("ls"))


def test_a_record_holds_what_was_done_when_something_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Exception):
        """An environment's own failure, which scaffolds do not know."""

    def execute(name: str, arguments: Mapping[str, Any]) -> str:
        raise Broken("the box is gone")

    loop = ToolLoop(action_format=XML)
    with LocalEnvironment(FILES) as environment:
        record = Recorder(policy=answers_in_turn({"Fix it.": [call("ls"), call("cat a.py")]}))
        with pytest.raises(PolicyError, match="ends after 2 answers"):
            loop.run(TASK, record, environment)
        assert [step.observation.strip() for step in record.steps] == ["a.py", "x = 1"]
        assert len(record.completions) == 2
        partial = record.rollout(TASK, environment, "policy_failure", "gone")
        assert (partial.trajectory.source, partial.trajectory.model) == ("tool-loop", "scripted")
        assert partial.trajectory.metadata["action_format"] == "xml"

        monkeypatch.setattr(environment, "execute", execute)
        record = Recorder(policy=answers_in_turn({"Fix it.": [call("ls")]}))
        with pytest.raises(Broken):
            loop.run(TASK, record, environment)
        assert [step.observation for step in record.steps] == ["the box is gone"]


def test_a_completion_cut_off_is_told_so() -> None:
    class CutOff(ScriptedPolicy):
        def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
            return [
                Completion(text="<think>So", finish_reason="length", prompt_tokens=1, completion_tokens=64)
            ]

    with LocalEnvironment(FILES) as environment:
        rollout = ToolLoop(action_format=XML, max_malformed=1).run(
            TASK, CutOff(lambda prompt: ""), environment
        )
    assert "(it was cut off at 64 tokens)." in rollout.trajectory.steps[0].observation
    assert rollout.trajectory.steps[0].thought == "<think>So"
