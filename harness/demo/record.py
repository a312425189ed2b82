"""Execute the expert scripts of the demo and record them in ``expert.jsonl`` and ``tasks.jsonl``.

Every observation is the real output of its action. Recordings are deterministic: the duration in pytest's last line
is written as ``in 0.01s``, and the output of a recursive grep is sorted by file, as its order depends on the file
system. With ``--check`` nothing is written: everything is executed again and compared with the files.
"""

import argparse
import dataclasses
import difflib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from environments.sandbox.local import LocalSandbox
from harness import demo
from harness.cli import UserError, run
from harness.demo.sources import Files, Source, load_sources
from trajectories.store import atomic_write, dump_line
from trajectories.types import Step, Trajectory

_DURATION = re.compile(r"\bin \d+\.\d+s\b")
_OUTCOME = re.compile(r"^(PASSED|FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Recording:
    task: demo.DemoTask
    trajectory: Trajectory
    end_state: Mapping[str, str]  # the files after the expert's last step


def run_tests(files: Mapping[str, str]) -> dict[str, bool]:
    """Run all tests of a state; return whether each passed, by test id."""
    return dict(_run_tests(tuple(sorted(files.items()))))


@cache  # the reference fix and the expert's end state are often equal
def _run_tests(files: tuple[tuple[str, str], ...]) -> tuple[tuple[str, bool], ...]:
    with LocalSandbox(dict(files)) as sandbox:
        output = sandbox.execute("bash", {"command": "python -m pytest -q -rA --tb=no"})
    outcomes = tuple((name, word == "PASSED") for word, name in _OUTCOME.findall(output))
    if not outcomes:
        raise UserError(
            f"pytest ran no test; is it installed (`pip install -e .[dev]`)? It printed:\n{output}"
        )
    return outcomes


def files_in_order(printed: str) -> str:
    """Sort lines of the form ``/path:…`` by path; lines of a file, and lines without a path, keep their order."""
    lines = printed.split("\n")
    return "\n".join(sorted(lines, key=lambda line: line.partition(":")[0] if line[:1] == "/" else ""))


def diff(before: Files, after: Files) -> str:
    with LocalSandbox(before) as sandbox:
        sandbox.write(after)
        return sandbox.submission()


def make_task(source: Source, base_commit: str) -> demo.DemoTask:
    """Make the task; which of its tests fail and pass is found by running them."""
    correct, buggy = source.correct(), source.buggy()
    before, after = run_tests(source.with_tests(buggy)), run_tests(source.with_tests(correct))
    return demo.DemoTask(
        instance_id=source.instance_id,
        repo=f"demo/{source.repository}",
        base_commit=base_commit,
        problem_statement=source.statement,
        patch=diff(buggy, correct),
        test_patch=diff(buggy, source.with_tests(buggy)),
        FAIL_TO_PASS=tuple(test for test, passed in after.items() if passed and not before.get(test, False)),
        PASS_TO_PASS=tuple(test for test, passed in after.items() if passed and before.get(test, False)),
    )


def record(source: Source) -> Recording:
    """Run one expert script in a fresh sandbox and test its end state in another."""
    steps = []
    with LocalSandbox(source.buggy()) as sandbox:
        for thought, action in source.script:
            observation = _DURATION.sub("in 0.01s", sandbox.execute(action.name, action.arguments))
            if action.arguments.get("command", "").startswith("grep -r"):
                observation = files_in_order(observation)
            steps.append(Step(thought=thought, actions=(action,), observation=observation))
        patch, end_state, base_commit = sandbox.submission(), sandbox.files(), sandbox.base_commit
    task = make_task(source, base_commit)
    outcomes = run_tests(source.with_tests(end_state))
    trajectory = Trajectory(
        trajectory_id=f"{source.instance_id}.expert",
        instance_id=source.instance_id,
        task=source.statement,
        steps=tuple(steps),
        source="demo",
        model="scripted expert",
        resolved=all(outcomes.get(test, False) for test in task.FAIL_TO_PASS + task.PASS_TO_PASS),
        patch=patch,
        metadata={"repo": task.repo, "license": "Apache-2.0", "base_commit": base_commit},
    )
    return Recording(task=task, trajectory=trajectory, end_state=end_state)


def render(recordings: list[Recording]) -> dict[Path, str]:
    """Return the texts of the two files of recordings."""
    return {
        demo.expert_path(): "".join(dump_line(recording.trajectory) for recording in recordings),
        demo.tasks_path(): "".join(json.dumps(dataclasses.asdict(one.task)) + "\n" for one in recordings),
    }


def difference(path: Path, made: str) -> str:
    """Return a unified diff, field by field, of a file and its new text; empty if they are equal."""
    kept = path.read_text(encoding="utf-8") if path.exists() else ""
    if kept == made:
        return ""
    kept_lines, made_lines = (
        [line for row in text.splitlines() for line in json.dumps(json.loads(row), indent=1).splitlines()]
        for text in (kept, made)
    )
    before, after = f"{path.name} (kept)", "made now"
    changes = difflib.unified_diff(kept_lines, made_lines, before, after, lineterm="", n=1)
    return "\n".join(changes) or f"{path.name}: the same content, written differently"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m harness.demo.record", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    check = parser.parse_args().check
    recordings = []
    for source in load_sources():
        recordings.append(record(source))
        if not recordings[-1].trajectory.resolved:
            raise UserError(f"{source.instance_id}: the tests do not pass at the end of the expert's script")
        print(source.instance_id, "resolved")
    files = render(recordings)
    if not check:
        for path, text in files.items():
            with atomic_write(path) as out:
                out.write(text)
        return
    differences = [found for path, text in files.items() if (found := difference(path, text))]
    if differences:
        print("\n".join(differences), file=sys.stderr)
        raise UserError(
            "the recorded demo differs from what its scripts do now: run `python -m harness.demo.record`"
        )


if __name__ == "__main__":
    sys.exit(run(main))
