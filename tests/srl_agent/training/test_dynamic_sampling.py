"""The selection of groups, the order of rows, the refill stream."""

from random import Random

import pytest

from srl_agent.training.dynamic_sampling import Sample, reason_to_drop, variance_from_format_only
from srl_agent.training.row_order import RefillStream, rows_for_refill, shuffled_rows


@pytest.mark.parametrize(
    ("rewards", "dropped"),
    [
        ([0.5, 0.5, 0.5 + 1e-9, 0.5], "reward std <= epsilon"),  # floating-point noise
        ([0.1, 0.9, 0.1, 0.9], None),
        ([None, 0.5, None, None], "fewer than two judged completions"),
        ([None, 0.1, 0.9, None], None),
    ],
)
def test_groups_whose_advantages_are_zero_are_dropped(
    rewards: list[float | None], dropped: str | None
) -> None:
    assert reason_to_drop(rewards, 1e-3) == dropped
    assert reason_to_drop(rewards, -1.0) is None


def test_variance_from_format_only() -> None:
    def sample(reward: float, error: str | None) -> Sample:
        return Sample(
            text="", token_ids=[], logprobs=None, parts=(reward,), reward=reward, format_error=error
        )

    assert variance_from_format_only([sample(-1.0, "bad"), sample(0.5, None), sample(0.5, None)], 1e-3)
    assert not variance_from_format_only([sample(-1.0, "bad"), sample(0.5, None), sample(0.9, None)], 1e-3)


def test_the_stream_visits_all_before_it_repeats_and_resumes_by_its_position() -> None:
    stream = RefillStream(list("aabbb"), 2, seed=3)
    drawn = stream.take(12)
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == [0, 1, 2, 3, 4]
    resumed = RefillStream(list("aabbb"), 2, seed=3)
    resumed.position = 7
    assert resumed.take(5) == drawn[7:]


@pytest.mark.parametrize(
    ("missing", "group_size", "processes", "groups"), [(3, 8, 4, 3), (3, 4, 8, 4), (1, 3, 2, 2), (1, 8, 1, 1)]
)
def test_refills_divide_over_the_processes(
    missing: int, group_size: int, processes: int, groups: int
) -> None:
    assert rows_for_refill(missing, group_size, processes) == groups
    assert groups * group_size % processes == 0


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_steps_of_a_trajectory_are_adjacent_and_every_row_occurs_once(together: int, seed: int) -> None:
    random = Random(seed)
    trajectories = [name for name in "abcdefg" for _ in range(random.randrange(1, 11))]
    order = shuffled_rows(trajectories, together, lambda n: random.sample(range(n), n))
    assert sorted(order) == list(range(len(trajectories)))
    blocks = [order[start : start + together] for start in range(0, len(order), together)]
    whole = [
        block
        for block in blocks
        if block == list(range(block[0], block[0] + len(block)))
        and len({trajectories[row] for row in block}) == 1
        and len(block) == together
    ]
    assert len(whole) >= sum(trajectories.count(name) // together for name in set(trajectories))
