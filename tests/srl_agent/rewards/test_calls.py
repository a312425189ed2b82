"""Rewards are called as TRL calls them; what they return is checked; a missing one beside others is no 0."""

import asyncio
import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from transformers import TrainerState

from srl_agent.formats import get_format
from srl_agent.plugins import PluginError
from srl_agent.rewards import Reward, RewardBatch, RewardError, Score, WeightedRewards, load_reward
from tests import plugin_rewards

STATE = TrainerState(global_step=3, max_steps=10)
TEXTS = ["<think>So.</think>a", "b", "ccc"]
PROMPT = [{"role": "user", "content": "Go."}]
METRICS: list[tuple[str, float]] = []


def batch(**columns: list[Any]) -> RewardBatch:
    METRICS.clear()
    return RewardBatch(
        prompts=[PROMPT] * len(TEXTS),
        texts=TEXTS,
        token_ids=[(1, 2), (3,), (4, 5, 6)],
        columns={"trajectory_id": ["t"] * 3, "step_index": [4, 5, 6], **columns},
        trainer_state=STATE,
        log_metric=lambda name, value: METRICS.append((name, value)),
    )


def score(functions: Mapping[str, Reward], **settings: Any) -> list[Score]:
    weights = settings.pop("weights", dict.fromkeys(functions, 1.0))
    return WeightedRewards(functions=functions, weights=weights, **settings).score(batch())


def test_a_reward_gets_what_trl_gives() -> None:
    seen: dict[str, Any] = {}

    def reward(**given: Any) -> list[float]:
        seen.update(given)
        given["log_extra"]("half", [text[0]["content"][:1] for text in given["completions"]])
        given["log_metric"]("size", torch.tensor(2.5))
        return [0.0, 1.0, 2.0]

    scores = score({"r": reward})
    assert [one.total for one in scores] == [0.0, 1.0, 2.0]
    assert seen["prompts"] == [PROMPT] * 3
    assert seen["completions"] == [[{"role": "assistant", "content": text}] for text in TEXTS]
    assert seen["completion_ids"] == [[1, 2], [3], [4, 5, 6]]
    assert seen["trainer_state"] is STATE
    assert seen["step_index"] == [4, 5, 6]
    assert [one.extra for one in scores] == [{"half": "<"}, {"half": "b"}, {"half": "c"}]
    assert METRICS == [("size", 2.5)]


def test_rewards_may_be_partials_classes_and_coroutines_which_run_in_one_lasting_loop() -> None:
    loops, threads = set(), []

    async def waits(completions: Any, *, add: float, **columns: Any) -> list[float]:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return [add + len(completion[0]["content"]) for completion in completions]

    class Made:
        async def __call__(self, completion_ids: Any, **columns: Any) -> list[int]:
            await asyncio.sleep(0)
            return [len(ids) for ids in completion_ids]

    def plain(completions: Any, **columns: Any) -> list[float]:
        threads.append(threading.current_thread())
        return [0.0] * len(completions)

    functions: dict[str, Reward] = {"a": functools.partial(waits, add=0.5), "b": Made(), "c": plain}
    for _ in range(2):
        (_, second, _) = score(functions)
        assert second.parts == {"a": 1.5, "b": 1.0, "c": 0.0}
    assert len(loops) == 1  # an open client is bound to its loop
    assert threads == [threading.main_thread()] * 2  # signals work there only


NAN = float("nan")


@pytest.mark.parametrize(
    ("returned", "read"),
    [
        ([1, True, 0.5], [1.0, 1.0, 0.5]),
        ((None, NAN, 0), [None, None, 0.0]),
        (np.array([0.25, NAN, 1.0], dtype=np.float32), [0.25, None, 1.0]),
        (np.array([1, 0, 1], dtype=bool), [1.0, 0.0, 1.0]),
        (torch.tensor([0.5, 1.0, -2.0], dtype=torch.bfloat16, requires_grad=True), [0.5, 1.0, -2.0]),
        ([torch.tensor(0.5), np.float64(1.0), np.array([2.0])], [0.5, 1.0, 2.0]),
        ((one for one in (1.0, 2.0, 3.0)), [1.0, 2.0, 3.0]),
    ],
)
def test_numbers_of_every_kind_are_read(returned: object, read: list[float | None]) -> None:
    assert [one.parts["r"] for one in score({"r": lambda **_: returned})] == read


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0], "my:reward returned 2 values for 3 completions"),
        (np.zeros(4), "my:reward returned 4 values for 3 completions"),
        (0.5, r"my:reward returned 0.5 \(float\): a reward returns a list"),
        (torch.tensor(0.5), r"my:reward returned tensor\(0.5000\) \(Tensor\)"),
        (None, r"my:reward returned None \(NoneType\)"),
        ("abc", r"my:reward returned 'abc' \(str\)"),
        ({"a": 1, "b": 2, "c": 3}, r"my:reward returned .*\(dict\)"),
        ([0.0, "1.0", 0.0], r"returned '1.0' \(str\) for completion 1, trajectory_id t, step_index 5"),
        ([0.0, 0.0, float("inf")], r"returned inf \(float\) for completion 2, trajectory_id t, step_index 6"),
        (np.array([[0.0], [0.0], [0.0]]), r"returned \[0.0\] \(list\) for completion 0"),
        ([10**400, 0, 0], r"returned 1000.* \(int\) for completion 0"),
        ([1e39, 0, 0], r"returned 1e\+39 \(float\) for completion 0"),  # infinite in float32
        ([1j, 0, 0], r"returned 1j \(complex\) for completion 0"),
    ],
)
def test_what_is_no_reward_is_refused_by_name_and_sample(returned: object, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        score({"my:reward": lambda **_: returned})


def fails(completions: Any, **columns: Any) -> list[float]:
    raise KeyError("solution")


async def fails_later(completions: Any, **columns: Any) -> list[float]:
    raise ValueError("no answer")


def needs(completions: Any, solution: Any, **columns: Any) -> list[float]:
    return [0.0] * len(completions)


def narrow(completions: Any) -> list[float]:
    return [0.0] * len(completions)


def logs_too_few(completions: Any, log_extra: Callable[..., None], **columns: Any) -> list[float]:
    log_extra("solved", [True])
    return [0.0] * len(completions)


def logs_no_number(completions: Any, log_metric: Callable[..., None], **columns: Any) -> list[float]:
    log_metric("solved", "yes")
    return [0.0] * len(completions)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (fails, r"mine raised KeyError: 'solution' \(.*test_calls.py:\d+, in fails\)"),
        (fails_later, r"mine raised ValueError: no answer \(.*test_calls.py:\d+, in fails_later\)"),
        (needs, "mine cannot be called: missing a required argument: 'solution'; a reward gets .*step_index"),
        (narrow, r"mine cannot be called: .*take what it needs, and the rest as \*\*columns"),
        (logs_too_few, r"mine: log_extra\('solved', …\) got 1 values for 3 completions"),
        (logs_no_number, r"mine: log_metric\('solved', 'yes'\): the value is no number"),
    ],
)
def test_a_failure_names_the_reward(reward: Reward, message: str) -> None:
    with pytest.raises(RewardError, match=message):
        score({"mine": reward})


def test_two_rewards_may_log_the_same_column() -> None:
    def logs(value: object) -> Reward:
        def reward(log_extra: Any, **columns: Any) -> list[float]:
            log_extra("answer", [value])
            log_extra("answer", [value, value])
            return [0.0] * 3

        return reward

    (first, *_) = score({"a": logs(np.int64(1)), "b": logs({2})})
    assert first.extra == {"answer": 1, "answer (b)": "{2}"}


def test_a_missing_reward_beside_others_is_not_0() -> None:
    parts: list[dict[str, float | None]] = [
        {"a": 1.0, "b": 1.0},
        {"a": 1.0, "b": None},
        {"a": None, "b": None},
    ]

    def totals(missing: Any, **weights: float) -> list[float | None]:
        rewards = WeightedRewards(functions={}, weights=weights, missing=missing)
        return [rewards.total(one) for one in parts]

    assert totals("rescale", a=1.0, b=1.0) == [2.0, 2.0, None]
    assert totals("mask", a=1.0, b=1.0) == [2.0, None, None]
    assert totals("rescale", a=1.0, b=3.0) == [4.0, 4.0, None]
    assert totals("mask", a=1.0, b=0.0) == [1.0, 1.0, None]  # b is only measured
    assert totals("rescale", a=0.0, b=1.0) == [1.0, None, None]
    assert totals("rescale", a=1.0, b=-1.0) == [0.0, 2.0, None]


XML = get_format("xml")
COLUMNS = ("trajectory_id", "step_index")


def load(name: str, **settings: object) -> Reward:
    return load_reward(name, settings, action_format=XML, columns=COLUMNS)


def test_settings_reach_functions_classes_and_factories() -> None:
    shared = load("tests.plugin_rewards:share_of", wanted="c", scale=0.5)
    longest = load("tests.plugin_rewards:Longest", separator="<")
    overlong = load("trl.rewards:get_soft_overlong_punishment", max_completion_len=3, soft_punish_cache=2)
    (first, _, third) = score({"share": shared, "longest": longest, "overlong": overlong})
    assert first.parts == {"share": 0.0, "longest": pytest.approx(9 / 19), "overlong": -0.5}
    assert third.parts == {"share": 0.5, "longest": 1.0, "overlong": -1.0}
    assert isinstance(longest, plugin_rewards.Longest)
    assert longest.format_name == "xml"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tests.plugin_rewards:share_of", {"wants": "a"}, "no parameter wants; it takes wanted, scale"),
        ("tests.plugin_rewards:share_of", {"completions": "a"}, "no parameter completions"),
        ("tests.plugin_rewards:share_of", {}, "needs wanted: neither a column of the rows"),
        ("tests.plugin_rewards:letters_of_even_steps", {"step_index": 1}, "no parameter step_index"),
        ("tests.plugin_rewards:Longest", {"separators": ","}, "no setting separators"),
        ("tests.plugin_rewards:no_reward", {"size": 2}, "makes list, which is no reward function"),
        ("tests.plugin_rewards:NUMBER", {}, "is no function or class but int"),
        ("tests.plugin_rewards:letter", {}, "cannot be imported"),
        ("trl.rewards:get_soft_overlong_punishment", {}, "needs the setting max_completion_len"),
        ("trl.rewards:get_repetition_penalty_reward", {"max_penalty": 1}, "ValueError: max_penalty 1 should"),
        ("trl.rewards:accuracy_reward", {}, "needs solution: neither a column of the rows"),
        ("similarity", {"autojunks": True}, "no setting autojunks"),
        ("similarity", {"autojunk": "rarely"}, "autojunk"),
    ],
)
def test_settings_that_a_reward_does_not_take_are_refused(
    name: str, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        load(name, **settings)
