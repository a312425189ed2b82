"""Agentless-mini: choose files from the tree, repair them in one answer, several times, and take the majority.

After SWE-RL's scaffold of that name (arXiv 2502.18449): no tools, no turns.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from srl_agent.formats import Message, prose, thinking, without_thinking
from srl_agent.generation.types import Sampling
from srl_agent.policies.base import ContextOverflowError, Policy
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, ScaffoldTask, limit_of
from srl_agent.scaffolds.majority import choose
from srl_agent.scaffolds.repair import read_repair, repair_prompt, show_files, write_repair
from srl_agent.scaffolds.tree import render_tree
from trajectories import Action, Step

_PROMPT = """\
Resolve the following issue in the repository {repo} by editing its source code.

Issue:
[start of the issue]
{issue}
[end of the issue]

The files of the repository{which}:
[start of the tree]
{tree}
[end of the tree]

Which files need to change? First think privately between <think> and </think>. After </think> write up to \
{max_files} paths, one per line, each complete from the root of the repository, most likely first, and nothing else."""

_PAGE = 500  # lines of `git ls-files` per call, so that the environment does not cut the output
_LIST_MARK = re.compile(r"^(?:[-*•]|\d+[.)])\s+")


@dataclass(frozen=True, kw_only=True)
class AgentlessMini:
    """One greedy localisation, then ``samples`` repairs; the first is greedy. Any tracked file may be chosen."""

    sampling: Sampling | None = None  # of the greedy answers
    samples: int = 1
    temperature: float = 0.8  # of the repairs after the first
    max_files: int = 5
    suffixes: Sequence[str] = (".py",)  # of the files in the tree; empty: all
    tests_in_tree: bool = False  # also files with a path component that starts with "test"
    max_tree_chars: int = 40_000
    max_file_chars: int = 80_000

    def run(self, task: ScaffoldTask, policy: Policy, environment: Environment) -> Rollout:
        record = Recorder.of(policy, scaffold="agentless-mini")
        try:
            if chosen := self._localise(task, record, environment):
                self._repair(task, record, environment, chosen)
        except (ContextOverflowError, TimeoutError) as limit:
            return record.rollout(task, environment, limit_of(limit), str(limit))
        return record.rollout(task, environment, "submitted")

    @property
    def _greedy(self) -> Sampling:
        return self.sampling or Sampling(max_tokens=4096)

    def _localise(self, task: ScaffoldTask, record: Recorder, environment: Environment) -> tuple[str, ...]:
        tracked = list_files(environment)
        (completion,) = record.generate(self._localisation_prompt(task, tracked), sampling=self._greedy)
        chosen = read_paths(completion.text, set(tracked))[: self.max_files]
        thought = thinking(completion.text) if chosen else prose(completion.text)
        actions = (Action(name="choose_files", arguments={"paths": list(chosen)}),) if chosen else ()
        observation = "" if chosen else "The answer names no file of the repository."
        record.steps.append(Step(thought=thought, actions=actions, observation=observation))
        return chosen

    def _localisation_prompt(self, task: ScaffoldTask, tracked: Sequence[str]) -> list[Message]:
        paths = [path for path in tracked if self._in_tree(path)] or tracked
        part = f" ({len(paths)} of {len(tracked)}: tests and others left out)"
        which, tree = part if len(paths) < len(tracked) else "", render_tree(paths, self.max_tree_chars)
        issue, most = task.problem_statement, self.max_files
        text = _PROMPT.format(repo=task.repo, issue=issue, which=which, tree=tree, max_files=most)
        return [{"role": "user", "content": text}]

    def _in_tree(self, path: str) -> bool:
        if self.suffixes and not path.endswith(tuple(self.suffixes)):
            return False
        return self.tests_in_tree or not any(part.startswith("test") for part in path.split("/"))

    def _repair(
        self, task: ScaffoldTask, record: Recorder, environment: Environment, chosen: Sequence[str]
    ) -> None:
        """Sample repairs, vote, and write the winner; nothing without a valid edit."""
        prompt = repair_prompt(task, show_files(chosen, environment.read, self.max_file_chars))
        sampled = record.generate(prompt, sampling=self._greedy)
        if self.samples > 1:
            warm = replace(self._greedy, temperature=self.temperature)
            sampled += record.generate(prompt, n=self.samples - 1, sampling=warm)
        repairs = [read_repair(completion.text, environment) for completion in sampled]
        winner, votes = choose([repair.applied for repair in repairs])
        if winner is None:
            shown = replace(repairs[0], applied=replace(repairs[0].applied, files={}))
            note = f"None of {len(repairs)} answers makes a change that counts; this is the first, it is not written."
        else:
            shown = repairs[winner]
            note = f"Answer {winner + 1} of {len(repairs)}: {votes} make this change."
        step = write_repair(shown, environment)
        record.steps.append(replace(step, observation=f"{step.observation}\n[{note}]"))


def list_files(environment: Environment) -> list[str]:
    """Return the paths of all tracked files, except those with unusual characters, which git quotes."""
    paths: list[str] = []
    while True:
        page = f"set -o pipefail; git ls-files | sed -n '{len(paths) + 1},{len(paths) + _PAGE}p'"
        outcome = environment.run(page)
        if outcome.exit_code != 0:
            raise RuntimeError(f"`git ls-files` failed in the environment: {outcome.output.strip()[:300]}")
        found = outcome.output.splitlines()
        paths += found
        if len(found) < _PAGE:
            return [path for path in paths if not path.startswith('"')]


def read_paths(answer: str, tracked: Collection[str]) -> tuple[str, ...]:
    """Return the tracked files that an answer names, one per line, in order; list marks and quotes are ignored.

    >>> read_paths("<think>b.py?</think>\\n1. `src/a.py`\\n- b.py", {"src/a.py", "b.py", "c.py"})
    ('src/a.py', 'b.py')
    """
    found = []
    for line in without_thinking(answer).splitlines():
        path = _LIST_MARK.sub("", line.strip()).strip("`*\"' ").removeprefix("/testbed/").removeprefix("./")
        if path in tracked:
            found.append(path)
    return tuple(dict.fromkeys(found))
