"""The filters see untrusted text: every pattern must take linear time, and no filter may fail."""

import re
import sys
from types import ModuleType

import pytest

from harness.data.filters import load_filters
from tests.trajectories.filters.regex_steps import Steps
from trajectories import Action, Step, Trajectory
from trajectories.filters import cheating, failed, redaction, shell
from trajectories.filters.pipeline import FilterPipeline
from trajectories.ledger import Ledger

MODULES: tuple[ModuleType, ...] = (cheating, failed, redaction, shell)
PATTERNS = {
    **{
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in MODULES
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    },
    **{f"rule {name}": rule.pattern for name, rule in redaction.RULES.items()},
}
# Only ever matched at the start of a text, and the first of a thousand characters at most.
ANCHORED = {
    "shell._ASSIGNMENT",
    "failed._SHELL",
    "failed._REFUSED",
    "failed._RETURN_CODE",
    "failed._DECORATION",
}
KEY = "-----BEGIN PRIVATE KEY-----"
PIECES = [
    "a", "a.", "-", "a@", "git@", "://a:", KEY, f"{KEY}\n{'A' * 64}\n", "eyJaaaaaaaaaaa.", "-home-", "/home/a",
    "sk-ant-", "SG.aaaaaaaaaaaaaaaaaa.", "'", '"', "\\", "git log ", "<<E\n", "#", "| head -1", "/test_a.",
    "abcdef0", "https://", "error: ", "authorization: bearer ", "C:\\Users\\a", " ",
]  # fmt: skip


@pytest.fixture
def deep() -> object:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("deep")
def test_the_counter_distinguishes_linear_quadratic_and_exponential() -> None:
    def growth(pattern: str, text: str) -> float:
        steps = Steps(re.compile(pattern))
        return steps.count(text * 2) / steps.count(text)

    assert growth(r"(?<!\w)\w{1,64}@", "a" * 120) < 2.3
    assert growth(r"\w+@", "a" * 120) > 3.5
    assert growth(r"(?:a+)+@", "a" * 7) > 50


@pytest.mark.usefixtures("deep")
@pytest.mark.parametrize("name", PATTERNS)
def test_twice_the_text_takes_twice_the_steps(name: str) -> None:
    steps = Steps(PATTERNS[name])
    for piece in PIECES:
        short, long = (steps.count((piece * 320)[:size], anchored=name in ANCHORED) for size in (160, 320))
        assert long <= 2.3 * short, piece


@pytest.mark.parametrize("piece", [*PIECES, "git show abcdef0; ", "pip install w; ", "rm tests/a.py; ", "\n"])
def test_the_filters_handle_a_megabyte_of_anything(piece: str) -> None:
    """A quadratic filter would take hours, and run into the time limit of the suite."""
    text = piece * (2**20 // len(piece))
    act = Action(name="bash", arguments={"command": text})
    edit = Action(
        name="str_replace_editor",
        arguments={"command": "str_replace", "path": "tests/test_a.py", "old_str": text, "new_str": text},
    )
    steps = (Step(thought=text, actions=(act, edit), observation=text),) * 2
    hostile = Trajectory(
        trajectory_id="t", instance_id="acme__w-1", task=text, steps=steps, source="x", patch=text
    )
    account = Ledger().file("f", "x")
    account.trajectory("t", 2)
    FilterPipeline([table.make() for table in load_filters("clean")]).apply(hostile, account)
    account.trajectories.check("trajectories")
    account.steps.check("steps")
