"""Runs of one task, and tasks of one repository, are on one side of the split, however their ids are written."""

import pytest

from harness.data.split import split_groups

COMMIT = "04998908ba6721d64eba79ae3b65a351dcfbc5b5"
OTHERS = [f"acme__other{number}-1" for number in range(12)]


@pytest.mark.parametrize(
    "ids",
    [
        ["acme__w-1", "acme__w-1_0", "acme__w-1__AbCdEfg", "swe-bench/acme__w-1", "Acme__w-1", "acme__w-1#2"],
        [f"instance_acme__w-{COMMIT}-vnan", f"acme__w-{COMMIT}", f"instance_acme__w-{COMMIT}-v{COMMIT}_3"],
        ["acme__w.1a2b3c4d.pr_7", "acme__w.1a2b3c4d.pr_7_1", "acme__w.1a2b3c4d.pr_7__AbCdEfg"],
    ],
)
def test_runs_of_one_task_are_on_one_side(ids: list[str]) -> None:
    """Stores of earlier versions hold ids of rollouts."""
    for seed in range(12):
        split = split_groups([*ids, *OTHERS], by="instance", fraction=0.4, seed=seed)
        assert len({position in split.train for position in range(len(ids))}) == 1
    held = split_groups([*ids, *OTHERS], by="instance", fraction=0.1, held_out=[ids[-1]])
    assert held.validation == tuple(range(len(ids)))


def test_a_repository_is_one_group_in_any_case() -> None:
    names = ["NodeBB/NodeBB", "nodebb/nodebb", *(f"acme/{n}" for n in range(12))]
    for seed in range(12):
        split = split_groups(names, by="repository", fraction=0.4, seed=seed)
        assert (0 in split.train) == (1 in split.train)
    assert split_groups(names, by="repository", fraction=0.1, held_out=["nodebb/NodeBB"]).validation == (0, 1)


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(ValueError, match="held out, but not in the data: acme__x-9"):
        split_groups(OTHERS, by="instance", fraction=0.1, held_out=["acme__x-9"])
