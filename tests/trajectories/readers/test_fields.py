"""Facts of a data set's row beside its messages, whatever its producer calls them."""

import math

import pytest

from trajectories.conversation.fields import row_facts, verdict
from trajectories.types import JSON


@pytest.mark.parametrize(
    ("row", "right"),
    [
        ({"resolved": True}, True),
        ({"resolved": 1}, True),
        ({"resolved": 0}, False),
        ({"resolved": -1}, None),
        ({"resolved": "yes"}, None),
        ({"resolved": None, "reward": 1.0}, True),
        ({"resolved": False, "reward": 1.0}, False),  # a verdict comes before a number
        ({"resolved": -1, "reward": 1.0}, None),  # not judged
        ({"reward": 0}, False),
        ({"reward": 0.5}, None),
        ({"reward": math.nan}, None),
        ({"rewards": {"reward": 1.0}}, True),
        ({"rewards": {"tests": 0.0}}, False),
        ({"rewards": {"a": 1.0, "b": 0.0}}, None),
        ({"rewards": [1]}, True),
        ({}, None),
    ],
)
def test_verdicts(row: dict[str, JSON], right: bool | None) -> None:
    assert verdict(row) is right


@pytest.mark.parametrize("column", ["model_patch", "generated_patch", "output_patch", "git_patch"])
def test_the_patch_of_the_run_comes_before_the_one_of_the_task(column: str) -> None:
    assert row_facts({column: "diff of the run", "patch": "diff of the task"}).patch == "diff of the run"
    assert (
        row_facts({"test_result": {"git_patch": "diff of the run"}, "patch": "x"}).patch == "diff of the run"
    )
    assert row_facts({"patch": "diff of the run"}).patch == "diff of the run"
    for of_task in ("test_patch", "FAIL_TO_PASS"):
        assert row_facts({"patch": "the reference", of_task: "[]"}).patch is None


def test_facts_may_stand_in_the_metadata() -> None:
    facts = row_facts(
        {
            "traj_id": "t-1",
            "metadata": {
                "instance_id": "acme__w-1", "teacher_model": "claude", "reward": 1, "problem_statement": "It dies.",
                "repo": "acme/w",
            },
        }
    )  # fmt: skip
    assert (facts.trajectory_id, facts.instance_id, facts.model) == ("t-1", "acme__w-1", "claude")
    assert (facts.resolved, facts.task) == (True, "It dies.")
    assert facts.metadata == {"repo": "acme/w", "reward": 1.0}


def test_facts_of_wrong_types_are_none() -> None:
    facts = row_facts(
        {"instance_id": 7, "model": {"name": "x"}, "patch": ["diff"], "metadata": "text", "reward": "1"}
    )
    assert facts == row_facts({})
