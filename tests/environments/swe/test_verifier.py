"""The verifier on real containers: correct patches pass, and no trick makes others pass."""

from dataclasses import replace

import pytest

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Limits
from environments.swe.tasks import SWETask
from environments.swe.verifier import ContainerVerifier
from harness.demo.instances import build_demo_images, demo_instances

VERIFIER = ContainerVerifier(limits=Limits(memory_gb=0.5), test_seconds=60)
TEST_FILE = "tests/test_calc.py"


@pytest.fixture(scope="module")
def task(image: str) -> SWETask:
    build_demo_images(frozenset({"demo__calc-1"}), lambda name: None)
    return next(task for task in demo_instances() if task.instance_id == "demo__calc-1")


def new_file(path: str, text: str, mode: str = "100644") -> str:
    lines = text.rstrip("\n").split("\n")
    body = "".join(f"+{line}\n" for line in lines)
    return (
        f"diff --git a/{path} b/{path}\nnew file mode {mode}\n--- /dev/null\n+++ b/{path}\n"
        f"@@ -0,0 +1,{len(lines)} @@\n{body}"
    )


def import_hook(code: str) -> str:
    """Return a patch that runs ``code`` as soon as the tests import the package."""
    first = "+import calc._more\n"
    return f"--- a/calc/__init__.py\n+++ b/calc/__init__.py\n@@ -0,0 +1 @@\n{first}" + new_file(
        "calc/_more.py", code
    )


def test_the_reference_patch_passes_and_the_empty_one_does_not(task: SWETask) -> None:
    gold = VERIFIER.verify(task, task.patch)
    assert (gold.resolved, gold.reason, gold.stripped) == (True, "resolved", ())
    assert set(gold.tests["FAIL_TO_PASS"]["success"]) == set(task.FAIL_TO_PASS)
    assert set(gold.tests["PASS_TO_PASS"]["success"]) == set(task.PASS_TO_PASS)
    empty = VERIFIER.verify(task, "", run_empty=True)
    assert (empty.resolved, empty.reason) == (False, "tests_failed")
    assert "test_sum_from_the_left" in empty.detail
    assert VERIFIER.verify(task, "").reason == "empty_patch"


def test_without_git_headers_or_with_drifted_lines_it_applies(task: SWETask) -> None:
    plain = "".join(
        line + "\n" for line in task.patch.splitlines() if not line.startswith(("diff --git", "index "))
    )
    assert VERIFIER.verify(task, plain).resolved
    assert VERIFIER.verify(task, task.patch.replace("@@ -22,8 +22,8 @@", "@@ -30,8 +30,8 @@")).resolved


FORGED = """\
import os
ids = [{ids}]
lines = ["==== test session starts ====", "==== short test summary info ===="]
lines += ["PASSED " + name for name in ids] + ["==== %d passed in 0.01s ====" % len(ids), ""]
for fd in range(64):  # one of them is the real output, behind pytest's capture
    try:
        os.write(fd, "\\n".join(lines).encode())
    except OSError:
        pass
os._exit(0)
"""
PRINTED = """\
import atexit, sys
lines = ["==== short test summary info ===="] + ["PASSED " + name for name in [{ids}]]
atexit.register(lambda: print("\\n".join(lines)))
"""
ALL_PASS = """\
import _pytest.reports
old = _pytest.reports.TestReport.__init__
def new(self, *args, **kwargs):
    old(self, *args, **kwargs)
    self.outcome, self.longrepr = "passed", None
_pytest.reports.TestReport.__init__ = new
"""


@pytest.mark.parametrize(
    "code", [FORGED, PRINTED, ALL_PASS], ids=["exits early", "prints at exit", "turns outcomes"]
)
def test_code_under_test_cannot_forge_results(task: SWETask, code: str) -> None:
    ids = ", ".join(repr(name) for name in (*task.FAIL_TO_PASS, *task.PASS_TO_PASS))
    verdict = VERIFIER.verify(task, import_hook(code.replace("{ids}", ids)))
    assert verdict.resolved is False
    assert verdict.reason == "forged_results", verdict


CONFTEST = """\
import pytest
@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    report.outcome = "passed"
"""


@pytest.mark.parametrize(
    ("path", "text", "mode"),
    [
        ("conftest.py", CONFTEST, "100644"),
        ("tests/conftest.py", CONFTEST, "100644"),
        ("sitecustomize.py", "import os\nos._exit(0)\n", "100644"),
        (
            "pytest.ini",
            "[pytest]\naddopts = --deselect tests/test_calc.py::test_sum_from_the_left\n",
            "100644",
        ),
        (TEST_FILE + "x/../../" + TEST_FILE, "def test_sum_from_the_left(): pass\n", "100644"),
        ("/testbed/x.py", "x", "100644"),
        ("../outside.py", "x", "100644"),
        ("link", "/etc/passwd", "120000"),
        (".git/hooks/post-checkout", "#!/bin/sh\ntouch /tmp/evil\n", "100755"),
    ],
)
def test_forbidden_parts_of_a_patch_are_stripped_and_reported(
    task: SWETask, path: str, text: str, mode: str
) -> None:
    verdict = VERIFIER.verify(task, task.patch + new_file(path, text, mode))
    assert verdict.resolved is True
    assert [part.path for part in verdict.stripped] == [path]
    alone = VERIFIER.verify(task, new_file(path, text, mode))
    assert (alone.resolved, alone.reason) == (False, "empty_patch")


def test_a_rewritten_test_file_is_restored(task: SWETask) -> None:
    rewritten = (
        f"--- a/{TEST_FILE}\n+++ b/{TEST_FILE}\n@@ -1,1 +1,1 @@\n-import pytest\n+import pytest  # mine\n"
    )
    verdict = VERIFIER.verify(task, task.patch + rewritten)
    assert verdict.resolved
    assert [part.reason for part in verdict.stripped] == ["file of the test patch"]


@pytest.mark.parametrize(
    ("patch", "reason"),
    [
        ("--- a/calc/no.py\n+++ b/calc/no.py\n@@ -1 +1 @@\n-a\n+b\n", "patch_does_not_apply"),
        ("--- a/calc/parser.py\n+++ b/calc/parser.py\n@@ -1 +1 @@\n-not there\n+b\n", "patch_does_not_apply"),
        ("--- a/calc/parser.py\n+++ b/calc/parser.py\n@@ -1,9 +1,9 @@\n-cut\n", "patch_does_not_apply"),
        ("I give up.\n", "empty_patch"),
    ],
)
def test_patches_that_do_not_apply_have_their_own_reason(task: SWETask, patch: str, reason: str) -> None:
    verdict = VERIFIER.verify(task, patch)
    assert (verdict.resolved, verdict.reason) == (False, reason)


def test_tests_that_hang_or_die_do_not_pass(task: SWETask) -> None:
    slow = replace(VERIFIER, test_seconds=5.0)
    hang = slow.verify(task, task.patch + import_hook("import time\ntime.sleep(1000)\n"))
    assert (hang.resolved, hang.reason) == (False, "tests_timed_out")
    dies = VERIFIER.verify(task, task.patch + import_hook("import os\nos._exit(0)\n"))
    assert (dies.resolved, dies.reason) == (False, "no_results")
    kills = VERIFIER.verify(task, task.patch + import_hook("import os\nos.kill(-1, 9)\n"))
    assert (kills.resolved, kills.reason) == (False, "no_results")


def test_a_missing_image_gives_no_verdict(task: SWETask) -> None:
    with pytest.raises(EnvironmentFailure, match="no/such-image"):
        VERIFIER.verify(replace(task, image="no/such-image:1"), task.patch)
