"""Rewards of TRL in our trainer: the same numbers, logs and updates as in TRL's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOTrainer
from trl.rewards import accuracy_reward, get_soft_overlong_punishment, think_format_reward

from srl_agent.rewards import Reward, WeightedRewards
from srl_agent.rewards.weighted import Missing
from srl_agent.training.dynamic_sampling import DynamicSampling, Group
from srl_agent.training.srl import SRLTrainer
from tests.plugin_rewards import bounded, counted, letters
from tests.srl_agent.training.test_srl_trainer import ROWS, config, dataset, weights

SOLVED = dataset().add_column("solution", [rf"\boxed{{{row}}}" for row in range(ROWS)])
REWARDS: Mapping[str, Any] = {
    "think_format_reward": think_format_reward,
    "accuracy_reward": accuracy_reward,
    "soft_overlong_punishment_reward": get_soft_overlong_punishment(
        max_completion_len=12, soft_punish_cache=6
    ),
    "counted": counted,
    "bounded": bounded,
}
WEIGHTS = [1.0, 1.0, 0.5, 2.0, 0.0]


def make(
    model: Path, folder: Path, rewards: WeightedRewards, seen: list[Group], **settings: Any
) -> SRLTrainer:
    return SRLTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=config(folder, **settings),
        train_dataset=SOLVED,
        rewards=rewards,
        sampling=DynamicSampling(epsilon=-1.0, max_rounds=1),
        format_error=lambda text: None,
        on_groups=lambda step, groups: seen.extend(groups),
        share_prefixes=False,
    )


@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_rewards_of_trl_score_log_and_train_as_in_its_own_trainer(
    tiny_model: Path, tmp_path: Path, aggregation: str
) -> None:
    settings = {"multi_objective_aggregation": aggregation, "log_completions": True}
    seen: list[Group] = []
    rewards = WeightedRewards(functions=REWARDS, weights=dict(zip(REWARDS, WEIGHTS, strict=True)))
    ours = make(tiny_model, tmp_path / "ours", rewards, seen, **settings)
    ours.train()
    stock = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        args=config(tmp_path / "stock", reward_weights=WEIGHTS, **settings),
        train_dataset=SOLVED,
        reward_funcs=list(REWARDS.values()),
    )
    stock.train()

    mine, theirs = ours.state.log_history[0], stock.state.log_history[0]
    names = [f"rewards/{name}/{what}" for name in REWARDS for what in ("mean", "std")]
    for name in (*names, "reward", "reward_std", "frac_reward_zero_std", "longest"):
        assert mine[name] == pytest.approx(theirs[name], abs=1e-6), name
    assert mine["rewards/counted/std"] > 0
    assert mine["rewards/soft_overlong_punishment_reward/mean"] < 0
    for name, weight in weights(stock).items():
        torch.testing.assert_close(weights(ours)[name], weight, rtol=0, atol=1e-5)

    tables = [pyarrow.parquet.read_table(tmp_path / run / "completions") for run in ("ours", "stock")]
    assert tables[0].column_names == tables[1].column_names
    for column in ("characters", "update", "answer_parsed", "counted", "bounded"):
        assert tables[0][column].to_pylist() == tables[1][column].to_pylist(), column
    sample = seen[0].samples[0]
    assert sample.extra["characters"] == len(sample.text)
    assert {sample.extra["update"] for group in seen for sample in group.samples} == {0, 1}


def ones(completions: Any, **columns: Any) -> list[float]:
    return [1.0] * len(completions)


def ones_but_the_last(completions: Any, **columns: Any) -> list[float | None]:
    """Judge all but the last completion of a group of four."""
    return [None if index % 4 == 3 else 1.0 for index in range(len(completions))]


@pytest.mark.parametrize("missing", ["rescale", "mask"])
def test_a_sample_that_one_reward_did_not_judge_is_not_punished(
    tiny_model: Path, tmp_path: Path, missing: Missing
) -> None:
    functions: dict[str, Reward] = {"a": ones, "b": ones_but_the_last}
    trained = WeightedRewards(functions=functions, weights={"a": 1.0, "b": 1.0}, missing=missing)
    output = generate(make(tiny_model, tmp_path, trained, []))
    assert output["advantages"].abs().max() == 0
    learns = [True, True, True, missing == "rescale"] * 2
    dead = output.get("tool_mask", torch.ones(8, 1)).any(dim=1).logical_not()
    assert dead.tolist() == [not one for one in learns]


def test_a_measured_reward_gives_an_unjudged_sample_no_advantage(tiny_model: Path, tmp_path: Path) -> None:
    """TRL takes a sample as judged if any reward judged it, also one of weight 0."""

    def last_unjudged(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        found = letters(prompts, completions)
        return [None if index % 4 == 3 else score for index, score in enumerate(found)]

    functions: dict[str, Reward] = {"trained": last_unjudged, "measured": ones}
    rewards = WeightedRewards(functions=functions, weights={"trained": 1.0, "measured": 0.0})
    advantages = generate(make(tiny_model, tmp_path, rewards, []))["advantages"].view(2, 4)
    assert advantages[:, 3].tolist() == [0.0, 0.0]
    assert advantages[:, :3].abs().max() > 0.1
    assert advantages[:, :3].sum(dim=1).abs().max() < 1e-4  # the mean is that of the judged ones


def generate(trainer: SRLTrainer) -> dict[str, Any]:
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    output: dict[str, Any] = trainer._generate_and_score_completions(
        [row for row in SOLVED.select([0, 1]) for _ in range(4)]
    )
    return output
