"""Verify a patch: a fresh sandbox, the cleaned patch, the instance's own tests, a verdict."""

import time
from dataclasses import dataclass, field, replace

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Container, Limits
from environments.swe.grading import Verdict, grade_output, runnable_script
from environments.swe.integrity import add_canaries
from environments.swe.patches import CleanPatch, clean_patch
from environments.swe.tasks import SWETask

_PATCH, _SCRIPT = "/tmp/patch.diff", "/tmp/eval.sh"

# The commands of swebench, in its order (swebench/harness/run_evaluation.py, GIT_APPLY_CMDS).
_APPLY = (
    f"git apply --verbose {_PATCH}",
    f"git apply --verbose --3way {_PATCH}",
    f"git apply --verbose --reject {_PATCH}",
    f"patch --batch --forward --fuzz=5 -p1 -i {_PATCH}",
)
# A command that fails half-way leaves files behind.
_RESET = "git reset --quiet --hard HEAD; git clean --quiet -fd"

OUTPUT_LIMIT = 64_000_000  # characters of test output: verbose suites print tens of megabytes


@dataclass(frozen=True, kw_only=True)
class ContainerVerifier:
    """Verifier of patches in containers; thread-safe."""

    limits: Limits = field(default_factory=Limits)
    test_seconds: float = 1800.0  # for the eval script, as swebench's default

    def clean(self, task: SWETask, patch: str) -> CleanPatch:
        """Return the patch that is graded; its digest is the verdict's key."""
        return clean_patch(patch, test_files=task.test_files)

    def verify(self, task: SWETask, patch: str, *, run_empty: bool = False) -> Verdict:
        """Run the instance's tests on a patch in a fresh sandbox.

        An empty patch is unresolved without a run, unless ``run_empty`` (to check that the tests fail without a fix).
        Raises EnvironmentFailure if the sandbox broke: that says nothing about the patch.
        """
        started = time.monotonic()
        clean = self.clean(task, patch)
        verdict = Verdict(instance_id=task.instance_id, resolved=False, reason="empty_patch")
        verdict = replace(verdict, stripped=clean.stripped, patch_digest=clean.digest)
        if clean.text or run_empty:
            verdict = self._run(task, clean, verdict)
        return replace(verdict, seconds=time.monotonic() - started)

    def _run(self, task: SWETask, clean: CleanPatch, blank: Verdict) -> Verdict:
        limits = replace(self.limits, output_chars=OUTPUT_LIMIT, sandbox_seconds=self.test_seconds + 600)
        with Container(task.image, limits=limits) as sandbox:
            if clean.text:
                problem = _apply(sandbox, clean.text)
                if problem is not None:
                    return replace(blank, reason="patch_does_not_apply", detail=problem)
            script, canaries = add_canaries(runnable_script(task))
            sandbox.write(_SCRIPT, script.encode())
            started = time.monotonic()
            result = sandbox.run(f"/bin/bash {_SCRIPT}", timeout=self.test_seconds)
            seconds = time.monotonic() - started
        if result.exit_code is None:
            detail = f"the tests were stopped after {seconds:.0f} s"
            return replace(blank, reason="tests_timed_out", detail=detail, test_seconds=seconds)
        grade = grade_output(task, result.output, canaries=canaries)
        return replace(blank, **vars(grade), test_seconds=seconds)


def _apply(sandbox: Container, patch: str) -> str | None:
    """Apply a patch in ``/testbed``; return the error, or None."""
    sandbox.write(_PATCH, patch.encode("utf-8", errors="surrogateescape"))
    first_error = ""
    for number, command in enumerate(_APPLY):
        if number:
            sandbox.run(_RESET)
        result = sandbox.run(command)
        if result.exit_code == 0:
            return None
        first_error = first_error or result.output
    if sandbox.run(f"git apply --check --reverse {_PATCH}").exit_code == 0:
        return None  # every command failed, and yet the patch is applied
    return " ".join(first_error.split())[-500:]


def unjudged(task: SWETask, digest: str, error: EnvironmentFailure) -> Verdict:
    """Return the verdict of a patch whose sandbox broke at every try."""
    failure = Verdict(instance_id=task.instance_id, resolved=None, reason="environment_failure")
    return replace(failure, detail=str(error), patch_digest=digest)
