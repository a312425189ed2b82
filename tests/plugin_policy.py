"""Policies for evaluation recipes of the tests, by dotted path; they know the demo's fixes and answers."""

import functools
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from environments.sandbox.engine import LABEL, connect
from harness.demo import load_tasks
from harness.demo.math import problems_path, solved_path
from harness.demo.sources import load_sources
from srl_agent.formats import Message, get_format
from srl_agent.policies import Completion, PolicyError, Sampling
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.steps import PromptSettings
from tests.scripted_answers import answers_in_turn, render_edits
from trajectories.store import read_trajectories

_SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def _commands(patch: str) -> list[str]:
    """Return the fix in mini-swe-agent's form: one command per turn."""
    commands = ["ls", f"git apply <<'EOF'\n{patch}EOF", "git diff > patch.txt", f"{_SUBMIT} && cat patch.txt"]
    return [f"THOUGHT: go on\n\n```mswea_bash_command\n{command}\n```" for command in commands]


def reference_fix(*, scaffold: str) -> ScriptedPolicy:
    """Return a policy that answers each issue with the reference fix, in the form of ``scaffold``."""
    patches = {task.instance_id: task.patch for task in load_tasks()}
    answers = {}
    for source in load_sources():
        edits = f"<think>\nI see.\n</think>\n\n{render_edits(source.buggy(), source.correct())}"
        answers[source.statement] = {
            "oracle-edit": [edits],
            "agentless-mini": [source.bug[0].path, edits],
            "mini-swe-agent": _commands(patches[source.instance_id]),
            "one-script": [f"Apply it.\n```bash\ngit apply <<'EOF'\n{patches[source.instance_id]}EOF\n```"],
        }[scaffold]
    return answers_in_turn(answers, name="reference fix")


def look() -> ScriptedPolicy:
    """Lists the repository, and never ends."""
    call = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"
    return ScriptedPolicy(lambda prompt: f"<think>\nWhat is there?\n</think>\n\n{call}", name="look")


def cheat() -> ScriptedPolicy:
    """Return a policy that looks for later commits of the repository, then gives up."""
    look = "<function=bash>\n<parameter=command>git log --all --oneline</parameter>\n</function>"
    done = "<function=submit>\n</function>"
    turns = [f"<think>\nWhere is it?\n</think>\n\n{call}" for call in (look, done)]
    return answers_in_turn({source.statement: turns for source in load_sources()}, name="cheat")


def silent() -> ScriptedPolicy:
    """Return a policy that has no answers."""
    return answers_in_turn({}, name="silent")


@dataclass(kw_only=True)
class Watched:
    """One of the other policies, with a line in a file for each call; some call may fail."""

    policy: str  # a function of this module
    log: str
    settings: dict[str, str] = field(default_factory=dict)  # of the function
    fail_on: int = 0  # the call that fails, and all after it
    break_every: int = 0  # calls, before the last of which the containers of this process are removed

    def __post_init__(self) -> None:
        self.asked: ScriptedPolicy = globals()[self.policy](**self.settings)
        self.name = "watched"
        self.calls = 0

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.calls += 1
        with Path(self.log).open("a") as log:
            log.write(f"{self.calls}\n")
        if self.fail_on and self.calls >= self.fail_on:
            raise PolicyError(f"watched: call {self.calls} fails")
        if self.break_every and self.calls % self.break_every == 0:
            engine = connect().api
            for container in engine.containers(filters={"label": LABEL}):
                if container["Labels"][LABEL].startswith(f"{os.getpid()}:"):
                    engine.remove_container(container["Id"], force=True)
        return self.asked.generate(prompt, n=n, sampling=sampling)


@dataclass(frozen=True, kw_only=True)
class KnownAnswers:
    """Knows the embedded math problems, and answers by a problem's place: the last digit says how.

    0 to 4 right; 5 and 6 right, of samples every other one; 7 wrong; 8 says no number; 9 cannot be asked.
    """

    log: str = ""  # a file in which each question that is asked gets a line
    seconds: float = 0.0  # for an answer
    shift: int = 0  # of the last digit
    thought: str = ""

    name = "known answers"

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        question = prompt[-1]["content"].removeprefix("Problem:\n")
        place, answer = _embedded_answers()[question]
        if self.log:
            with Path(self.log).open("a") as log:
                log.write(f"{'sampled' if sampling.temperature else 'greedy'} {place}\n")
        time.sleep(self.seconds)
        digit = (place + self.shift) % 10
        if digit == 9:
            raise PolicyError("known answers: cannot be asked this")
        return [self._completion(digit, int(answer), i, sampling) for i in range(n)]

    def _completion(self, digit: int, answer: int, sample: int, sampling: Sampling) -> Completion:
        right = digit < 5 or (digit < 7 and not (sampling.temperature and sample % 2))
        said = "I do not know." if digit == 8 else f"1. **Box** \\boxed{{{answer + (not right)}}}"
        text = f"<think>\n{self.thought}\n</think>\n\n{said}" if self.thought else said
        return Completion(text=text, finish_reason="stop", prompt_tokens=10, completion_tokens=3)


@functools.cache
def _embedded_answers() -> dict[str, tuple[int, str]]:
    rows = [json.loads(line) for line in problems_path().read_text().splitlines()]
    return {row["question"]: (place, row["answer"]) for place, row in enumerate(rows)}


def solved_by_steps() -> ScriptedPolicy:
    """Return a policy that writes the steps of the embedded solutions, one per turn."""
    settings = PromptSettings(context_window=None)
    return ScriptedPolicy.from_trajectories(
        read_trajectories(solved_path()), action_format=get_format("math-step"), settings=settings
    )
