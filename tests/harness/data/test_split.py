"""The split of whole groups, and lists thinned evenly."""

from dataclasses import replace

import pytest

from harness.data.split import evenly, split_groups
from harness.demo.math import solved_path
from trajectories.store import read_trajectories

INSTANCES = [f"owner{r}__repo-{i}" for r in range(6) for i in range(4)]
REPOSITORIES = [instance.replace("__", "/").partition("-")[0] for instance in INSTANCES]


@pytest.mark.parametrize("by", ["repository", "instance"])
def test_no_group_is_on_both_sides(by: str) -> None:
    groups = REPOSITORIES if by == "repository" else INSTANCES
    split = split_groups(groups, by=by, fraction=0.3, seed=1)
    assert sorted(split.train + split.validation) == list(range(len(groups)))
    assert not {groups[i] for i in split.train} & {groups[i] for i in split.validation}
    assert len(split.validation) >= 0.3 * len(groups)


def test_named_groups_are_held_out_and_typos_are_named() -> None:
    split = split_groups(REPOSITORIES, by="repository", fraction=0.1, held_out=["owner2/repo"])
    assert split.validation == (8, 9, 10, 11)
    with pytest.raises(ValueError, match="owner9/repo"):
        split_groups(REPOSITORIES, by="repository", fraction=0.1, held_out=["owner9/repo"])
    with pytest.raises(ValueError, match="the split leaves no training trajectories"):
        split_groups(REPOSITORIES[:4], by="repository", fraction=0.5)


def test_a_count_holds_out_that_many_whole_groups() -> None:
    groups = [f"p{i}" for i in range(50)]
    for count in (1, 7, 49):
        split = split_groups(groups, by="instance", fraction=0.9, count=count, seed=3)
        assert len(split.validation) == count
        assert sorted(split.train + split.validation) == list(range(50))
    smaller = split_groups(groups, by="instance", fraction=0.1, count=5, seed=3)
    larger = split_groups(groups, by="instance", fraction=0.1, count=9, seed=3)
    assert set(smaller.validation) < set(larger.validation)
    assert split_groups(groups, by="instance", fraction=0.1, count=5, seed=4) != smaller


def test_several_solutions_of_a_problem_are_on_one_side() -> None:
    groups = [f"p{i // 3}" for i in range(30)]
    split = split_groups(groups, by="instance", fraction=0.1, count=4)
    assert len(split.validation) == 6  # two groups of three: at least the four asked for
    assert not {groups[i] for i in split.validation} & {groups[i] for i in split.train}
    with pytest.raises(ValueError, match="the split leaves no training trajectories"):
        split_groups(groups, by="instance", fraction=0.1, count=30)
    with pytest.raises(ValueError, match="the split leaves no validation trajectories"):
        split_groups(groups, by="instance", fraction=0.1, count=0)


def test_trajectories_are_split_by_their_problem() -> None:
    solved = list(read_trajectories(solved_path()))
    data = [*solved, replace(solved[0], trajectory_id="again")]
    split = split_groups([t.instance_id for t in data], by="instance", fraction=0.1, count=40)
    assert len(split.validation) in (40, 41)
    assert (0 in split.validation) == (len(solved) in split.validation)


def test_items_are_thinned_evenly() -> None:
    assert evenly("abcdefgh", 4) == list("aceg")
    assert evenly("abc", 4) == evenly("abc", None) == "abc"
