"""Check that the output of a test run was printed by the test runner at the end of a normal run.

The tests that grade a patch execute its code, so the code can print result lines itself, or end the process before the
runner is done (SWE-bench#631). Two defences, both on text that has left the sandbox:

1. *Canaries*: the runner also gets two tests with a name drawn for this run, one that passes and one that fails.
   Results without them, or in which the failing one passes, do not come from the runner.
2. *The runner's totals*: a passed test must be in pytest's closing summary, and for Django and SymPy there must be no
   more passes than the runner counts.

Code written against this scheme (it reads the canaries' names from the runner's arguments and forges a whole summary)
is not detected; no check can protect from code that runs in the runner's own process.
"""

import re
import secrets
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

START, END = ">>>>> Start Test Output", ">>>>> End Test Output"

Statuses = Mapping[str, str]  # test name -> PASSED, FAILED, …
Parser = Callable[[str], Statuses]

_PASSED = frozenset({"PASSED", "XFAIL"})
# Two instances of pytest's own repository list the end of a wrapped progress line (``PASSED [100%]``) as a test.
_NO_TEST = re.compile(r"\[ *\d+%\]")
_FAILED = frozenset({"FAILED", "ERROR"})


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """Two tests with an unpredictable name."""

    name: str

    def honest(self, statuses: Statuses) -> bool:
        """Return whether both are present, and the one always passed and the other always failed."""
        passing = {status for test, status in statuses.items() if f"{self.name}_passes" in test}
        failing = {status for test, status in statuses.items() if f"{self.name}_fails" in test}
        return bool(passing and failing) and passing <= _PASSED and failing <= _FAILED

    def without(self, statuses: Statuses) -> dict[str, str]:
        return {test: status for test, status in statuses.items() if self.name not in test}


def add_canaries(script: str) -> tuple[str, Canaries | None]:
    """Add two canaries to an eval script's test command; None and the script unchanged if its runner is unknown."""
    lines = script.split("\n")
    start = next((n for n, line in enumerate(lines) if START in line), None)
    if start is None or start + 1 >= len(lines):
        return script, None
    command = lines[start + 1]
    canaries = Canaries(name=f"canary_{secrets.token_hex(6)}")
    added = None
    if re.search(r"\bruntests\.py\b", command):
        added = _django(command, canaries.name)
    elif re.search(r"\b(?:pytest|tox|py\.test)\b|bin/test\b", command):
        added = _files(command, canaries.name)
    if added is None:
        return script, None
    preparation, new_command = added
    return "\n".join([*lines[:start], *preparation, lines[start], new_command, *lines[start + 2 :]]), canaries


def _files(command: str, name: str) -> tuple[list[str], str] | None:
    """For pytest and SymPy: add a file of plain functions beside the first test file."""
    arguments = [word for word in command.split() if re.match(r"[\w./-]+\.py(?:::.*)?$", word)]
    if not arguments:
        return None
    folder = arguments[0].partition("::")[0].rpartition("/")[0]
    path = f"{folder}/test_{name}.py" if folder else f"test_{name}.py"
    body = f"def test_{name}_passes():\n    pass\n\n\ndef test_{name}_fails():\n    assert False\n"
    return _write_file(path, body), f"{command} {shlex.quote(path)}"


def _django(command: str, name: str) -> tuple[list[str], str] | None:
    """For Django's runtests.py: add a test module. Without labels all tests run, and adding one would restrict that."""
    arguments = command.partition("runtests.py")[2].split()
    if not any(re.match(r"[a-z_]\w*(?:\.\w+)*$", word) for word in arguments):
        return None
    body = (
        "from unittest import TestCase\n\n\n"
        "class Canaries(TestCase):\n"
        f"    def test_{name}_passes(self):\n        pass\n\n"
        f"    def test_{name}_fails(self):\n        self.fail('expected')\n"
    )
    folder = f"tests/{name}"
    make_folder = [f"mkdir -p {folder}", f": > {folder}/__init__.py"]
    return [*make_folder, *_write_file(f"{folder}/tests.py", body)], f"{command} {name}.tests"


def _write_file(path: str, body: str) -> list[str]:
    return [f"cat > {shlex.quote(path)} <<'EOF_CANARY'", *body.rstrip("\n").split("\n"), "EOF_CANARY"]


def confirmed_statuses(output: str, parse: Parser) -> Statuses:
    """Return the statuses in pytest's closing summary, or in the whole output of other runners."""
    summary = _pytest_summary(output)
    return parse(output if summary is None else summary)


def unconfirmed(output: str, tests: Iterable[str], parse: Parser) -> list[str]:
    """Return those of ``tests`` that pass in a line of the output, but not in the runner's closing summary.

    ``output`` is the text between the markers; ``parse`` reads results from text.
    """
    statuses = parse(output)
    passed = [test for test in tests if statuses.get(test) in _PASSED and not _NO_TEST.fullmatch(test)]
    if (summary := _pytest_summary(output)) is not None:
        confirmed = parse(summary)
        return [test for test in passed if confirmed.get(test) not in _PASSED]
    total = _counted_passes(output)
    return passed if total is not None and sum(s in _PASSED for s in statuses.values()) > total else []


def _pytest_summary(output: str) -> str | None:
    """Return pytest's last ``short test summary info`` up to its closing line; None if there is none.

    The last one, so that nothing printed before it counts, and up to its close, so that nothing printed after it does.
    """
    _, header, after = output.rpartition("short test summary info")
    if not header:
        return None
    lines = []
    for line in after.split("\n")[1:]:
        if re.match(r"=+ .*\bin [\d.:]+.*=+\s*$", _plain(line)):
            break
        lines.append(line)
    return "\n".join(lines)


def _plain(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def _counted_passes(output: str) -> int | None:
    """Return the largest number of passes that fits the totals of Django's or SymPy's runner."""
    if ran := re.findall(r"^Ran (\d+) tests? in ", output, re.M):
        # A class or module that cannot be set up is an error, but not one of the tests that ran. A test is one failure
        # even if several of its subtests fail.
        failed = set(re.findall(r"^(?:FAIL|ERROR): (?!(?:setUp|tearDown)\w+ )(\S+ \([\w.]+\))", output, re.M))
        return int(ran[-1]) - len(failed)
    if finished := re.findall(r"^=+ tests finished: (?:(\d+) passed)?.*, in [\d.]+ seconds", output, re.M):
        return int(finished[-1] or 0)
    return None
