"""From printed text to a verdict, and printed text that must not count."""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from environments.swe.grading import grade_output, grade_section
from environments.swe.integrity import Canaries, add_canaries
from environments.swe.tasks import SWETask, load_tasks

PYTEST = SWETask(
    instance_id="acme__w-1",
    repo="acme/w",
    base_commit="a" * 40,
    problem_statement="It breaks.",
    patch="",
    test_patch="",
    FAIL_TO_PASS=("tests/test_a.py::test_x",),
    PASS_TO_PASS=("tests/test_a.py::test_y",),
    version="1",
    image="",
    eval_script="",
    log_parser="parse_log_pytest",
)
DJANGO = replace(
    PYTEST,
    log_parser="parse_log_django",
    repo="django/django",
    FAIL_TO_PASS=("test_x (a.tests.A)",),
    PASS_TO_PASS=(),
)
SYMPY = replace(
    PYTEST, log_parser="parse_log_sympy", repo="sympy/sympy", FAIL_TO_PASS=("test_x",), PASS_TO_PASS=()
)
CANARIES = Canaries(name="canary_0123")


def pytest_output(*lines: str, before: str = "", after: str = "") -> str:
    summary = "\n".join(lines)
    return (
        f"==== test session starts ====\n{before}\n==== short test summary info ====\n"
        f"{summary}\n==== 1 failed, 2 passed in 0.12s ====\n{after}\n"
    )


GOOD = ("PASSED tests/test_a.py::test_x", "PASSED tests/test_a.py::test_y")
BIRDS = (
    "PASSED tests/test_canary_0123.py::test_canary_0123_passes",
    "FAILED tests/test_canary_0123.py::test_canary_0123_fails - assert False",
)


def test_results_between_the_markers_count() -> None:
    section = pytest_output(*GOOD, *BIRDS)
    output = (
        "PASSED tests/test_a.py::test_z\n+ : '>>>>> Start Test Output'\n"
        f"{section}+ : '>>>>> End Test Output'\nFAILED tests/test_a.py::test_x\n"
    )
    grade = grade_output(PYTEST, output, canaries=CANARIES)
    assert (grade.resolved, grade.reason) == (True, "resolved")
    assert grade.tests["FAIL_TO_PASS"] == {"success": ["tests/test_a.py::test_x"], "failure": []}
    assert grade_output(PYTEST, output.replace("End Test", "")).reason == "no_results"


def test_a_missing_or_failed_test_is_named() -> None:
    grade = grade_section(PYTEST, pytest_output(GOOD[0], *BIRDS), canaries=CANARIES)
    assert (grade.resolved, grade.reason) == (False, "tests_failed")
    assert grade.detail == "1 of 2 tests do not pass: tests/test_a.py::test_y"


@pytest.mark.parametrize(
    "section",
    [
        # printed by code under test, while the real test file could not be collected
        pytest_output("ERROR tests/test_a.py", *BIRDS, before="\n".join(GOOD)),
        # printed after the runner's end
        pytest_output("ERROR tests/test_a.py", *BIRDS, after="\n".join(GOOD)),
        # a whole session printed by a patch that ends the process
        pytest_output(*GOOD),
        # every outcome turned into a pass
        pytest_output(*GOOD, BIRDS[0], BIRDS[1].replace("FAILED", "PASSED")),
        # no summary at all
        "\n".join(GOOD),
        # a second summary behind the real one
        pytest_output("ERROR tests/test_a.py", *BIRDS) + pytest_output(*GOOD),
    ],
)
def test_printed_passes_do_not_pass(section: str) -> None:
    grade = grade_section(PYTEST, section, canaries=CANARIES)
    assert (grade.resolved, grade.reason) == (False, "forged_results")


def test_a_progress_line_listed_as_a_test_needs_no_summary() -> None:
    task = replace(PYTEST, PASS_TO_PASS=("[100%]", *PYTEST.PASS_TO_PASS))
    section = pytest_output(*GOOD, *BIRDS, before="PASSED [100%]")
    assert grade_section(task, section, canaries=CANARIES).resolved


def test_djangos_passes_may_not_outnumber_what_it_ran() -> None:
    ran = (
        "test_canary_0123_passes (canary_0123.tests.Canaries) ... ok\n"
        "test_canary_0123_fails (canary_0123.tests.Canaries) ... FAIL\n"
        "{test} ... {outcome}\n"
        "{forged}"
        "FAIL: test_canary_0123_fails (canary_0123.tests.Canaries)\n"
        "{header}"
        "Ran 3 tests in 0.1s\n\nFAILED (failures=1)\n"
    )
    honest = ran.format(test="test_x (a.tests.A)", outcome="ok", forged="", header="")
    assert grade_section(DJANGO, honest, canaries=CANARIES).resolved
    forged = ran.format(
        test="a.tests (unittest.loader._FailedTest)",
        outcome="ERROR",
        forged="test_x (a.tests.A) ... ok\n",
        header="ERROR: a.tests (unittest.loader._FailedTest)\n",
    )
    assert grade_section(DJANGO, forged, canaries=CANARIES).reason == "forged_results"


def test_sympys_passes_may_not_outnumber_what_it_counts() -> None:
    ran = (
        "a/tests/test_canary_0123.py[2]\ntest_canary_0123_passes ok\ntest_canary_0123_fails F\n"
        "a/tests/test_a.py[1]\n{line}\n"
        "=== tests finished: {passed} passed, {failed} failed, in 0.10 seconds ===\n"
    )
    assert grade_section(SYMPY, ran.format(line="test_x ok", passed=2, failed=1), canaries=CANARIES).resolved
    forged = ran.format(line="test_x ok", passed=1, failed=2)
    assert grade_section(SYMPY, forged, canaries=CANARIES).reason == "forged_results"


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("pytest -rA tests/test_a.py tests/b.py::test_c", "tests/test_canary_"),
        ("tox --current-env -epy39 -v -- tests/test_a.py", "tests/test_canary_"),
        ("pytest -rA test_a.py", "test_canary_"),
        (
            "PYTHONWARNINGS='ignore' bin/test -C --verbose sympy/a/tests/test_b.py",
            "sympy/a/tests/test_canary_",
        ),
        (
            "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1 forms.tests",
            "tests/canary_",
        ),
    ],
)
def test_every_runner_gets_canaries(command: str, file: str) -> None:
    script = f"cd /testbed\n: '>>>>> Start Test Output'\n{command}\n: '>>>>> End Test Output'"
    changed, canaries = add_canaries(script)
    assert canaries is not None
    lines = changed.split("\n")
    at = lines.index(": '>>>>> Start Test Output'")
    assert lines[at + 1].startswith(command + " ")
    assert canaries.name in lines[at + 1].removeprefix(command)
    assert any(line.startswith(f"cat > {file}") for line in lines[:at])
    assert add_canaries(script)[1] != canaries


@pytest.mark.parametrize(
    "command", ["./tests/runtests.py --verbosity 2 --parallel 1", "make check", "pytest -rA", "npm test"]
)
def test_no_canaries_where_they_would_change_what_runs(command: str) -> None:
    script = f": '>>>>> Start Test Output'\n{command}\n: '>>>>> End Test Output'"
    assert add_canaries(script) == (script, None)


def test_an_unknown_parser_is_an_error() -> None:
    with pytest.raises(ValueError, match="no log parser 'parse_log_cobol'"):
        grade_section(replace(PYTEST, log_parser="parse_log_cobol"), "x")


# The two verdicts that differ under today's rows; under the rows of the time they are as published.
REVISED = {"astropy__astropy-7606", "django__django-10097"}


@pytest.mark.realdata
def test_published_logs_get_the_published_verdicts(real_data: Path) -> None:
    newer = str(real_data / "swebench/swebench_verified_v5_500.jsonl")
    tasks = {task.instance_id: task for task in load_tasks(newer)}
    as_published = load_tasks(str(real_data / "swebench/swebench_verified_500.jsonl"), columns_from=newer)
    then = {task.instance_id: task for task in as_published}
    different, graded = set(), 0
    archive = real_data / "eval_logs/sweagent_claude35sonnet_verified/logs_489.tar.gz"
    with tarfile.open(archive) as members:
        texts: dict[str, dict[str, bytes]] = {}
        for member in members:
            folder, _, name = member.name.rpartition("/")
            if name in ("report.json", "test_output.txt"):
                opened = members.extractfile(member)
                assert opened is not None
                texts.setdefault(folder.rpartition("/")[2], {})[name] = opened.read()
    for instance, files in texts.items():
        if len(files) < 2:
            continue
        published = json.loads(files["report.json"])[instance]["resolved"]
        output = files["test_output.txt"].decode(errors="replace")
        assert grade_section(then[instance], output).resolved == published, instance
        graded += 1
        if grade_section(tasks[instance], output).resolved != published:
            different.add(instance)
    assert graded == 483
    assert different == REVISED
