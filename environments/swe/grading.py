"""Grade a test run's output by the rules of ``swebench``, which only this module imports, at the first grading."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from environments.swe.integrity import END, START, Canaries, confirmed_statuses, unconfirmed
from environments.swe.patches import Stripped
from environments.swe.tasks import SWETask

if TYPE_CHECKING:
    from swebench.types import TestSpec

Reason = Literal[
    "resolved",
    "tests_failed",
    "empty_patch",
    "patch_does_not_apply",
    "tests_timed_out",
    "no_results",  # the runner printed no results
    "forged_results",  # there are results that the runner did not print
    "environment_failure",
]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on a patch."""

    instance_id: str
    resolved: bool | None  # None: could not be graded
    reason: Reason
    detail: str = ""  # for a person
    # By group: names under "success" and "failure".
    tests: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    stripped: tuple[Stripped, ...] = ()  # parts of the patch that were removed
    patch_digest: str = ""
    seconds: float = 0.0  # wall clock, including the sandbox
    test_seconds: float = 0.0  # of the eval script alone


@dataclass(frozen=True, kw_only=True)
class Grade:
    resolved: bool
    reason: Reason
    detail: str
    tests: Mapping[str, Mapping[str, Sequence[str]]]


@cache
def swebench_version() -> str:
    return version("swebench")


def grade_output(task: SWETask, output: str, *, canaries: Canaries | None = None) -> Grade:
    """Grade the output of an eval script: results between its markers, tests by name, nothing forged.

    >>> task = SWETask(instance_id="a__b-1", repo="a/b", base_commit="", problem_statement="", patch="",
    ...     test_patch="", FAIL_TO_PASS=("t.py::test_x",), PASS_TO_PASS=(), version="1", image="",
    ...     eval_script="", log_parser="parse_log_pytest")
    >>> grade_output(task, "no marker").reason
    'no_results'
    """
    _, start, rest = output.partition(START)
    section, end, _ = rest.rpartition(END)
    if not start or not end:
        return Grade(resolved=False, reason="no_results", detail=_last_lines(output), tests={})
    section = section[: section.rfind("\n") + 1]  # the end marker's own line
    return grade_section(task, section, canaries=canaries)


def grade_section(task: SWETask, section: str, *, canaries: Canaries | None = None) -> Grade:
    """Grade the part of the output that the test command printed."""
    statuses = parse_statuses(task, section)
    if not statuses:
        return Grade(resolved=False, reason="no_results", detail=_last_lines(section), tests={})
    own = canaries.without(statuses) if canaries else statuses
    tests, resolved = _report(task, own)
    named = [*task.FAIL_TO_PASS, *task.PASS_TO_PASS]

    def parse(text: str) -> Mapping[str, str]:
        return parse_statuses(task, text)

    forged = unconfirmed(section, named, parse)
    if resolved and canaries is not None and not canaries.honest(confirmed_statuses(section, parse)):
        why = "the runner did not print the results, or did not finish"
        detail = f"this run's canary tests are missing: {why}"
        return Grade(resolved=False, reason="forged_results", detail=detail, tests=tests)
    if resolved and forged:
        detail = f"{len(forged)} tests pass in a printed line only, not in the runner's totals: {forged[0]}"
        return Grade(resolved=False, reason="forged_results", detail=detail, tests=tests)
    failures = [test for group in ("FAIL_TO_PASS", "PASS_TO_PASS") for test in tests[group]["failure"]]
    if resolved:
        return Grade(resolved=True, reason="resolved", detail="", tests=tests)
    detail = f"{len(failures)} of {len(named)} tests do not pass: {', '.join(failures[:3])}"
    return Grade(resolved=False, reason="tests_failed", detail=detail, tests=tests)


def parse_statuses(task: SWETask, text: str) -> dict[str, str]:
    """Return statuses by test name, by the task's parser. Raises ValueError if swebench has no such parser."""
    from swebench.harness.log_parsers import PARSER_REGISTRY

    parser = PARSER_REGISTRY.get(task.log_parser)
    if parser is None:
        where = f"{task.instance_id}: swebench {swebench_version()}"
        raise ValueError(f"{where} has no log parser {task.log_parser!r}")
    return dict(parser(text, _spec(task)))


def _report(task: SWETask, statuses: Mapping[str, str]) -> tuple[dict[str, dict[str, list[str]]], bool]:
    from swebench.harness.constants import EvalType, ResolvedStatus
    from swebench.harness.grading import get_eval_tests_report, get_resolution_status

    wanted = {"FAIL_TO_PASS": list(task.FAIL_TO_PASS), "PASS_TO_PASS": list(task.PASS_TO_PASS)}
    report = get_eval_tests_report(dict(statuses), wanted, eval_type=EvalType(task.eval_type))
    tests = {group: report[group] for group in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    return tests, get_resolution_status(report) == ResolvedStatus.FULL.value


def runnable_script(task: SWETask) -> str:
    """Return the eval script as swebench runs it: it also records the test command's exit status."""
    return str(_spec(task).eval_script)


def _spec(task: SWETask) -> "TestSpec":
    from swebench.harness.utils import make_test_spec

    names = ("instance_id", "repo", "version", "image", "eval_script", "log_parser", "eval_type")
    tests = {group: json.dumps(getattr(task, group)) for group in ("FAIL_TO_PASS", "PASS_TO_PASS")}
    return make_test_spec({name: getattr(task, name) for name in names} | tests)


def _last_lines(text: str, count: int = 5) -> str:
    return "\n".join(text.rstrip().split("\n")[-count:])[-800:]
