"""SRLTrainer on a real model: equal to TRL if nothing is dropped; dropped rows do not dilute the loss."""

from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from srl_agent.rewards import WeightedRewards
from srl_agent.training.dynamic_sampling import DynamicSampling, Group, NoSpreadError
from srl_agent.training.srl import SRLTrainer
from tests.plugin_rewards import letters, letters_of_even_steps, unjudged_on_odd_steps
from tests.present import present
from tests.tiny_runs import launched

ROWS = 8


def dataset() -> Dataset:
    rows = [
        {"prompt": [{"role": "user", "content": f"step {i}"}], "step_index": i, "trajectory_id": "t"}
        for i in range(ROWS)
    ]
    return Dataset.from_list(rows)


def config(folder: Path, **settings: Any) -> GRPOConfig:
    defaults: dict[str, Any] = {
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 12,
        "max_steps": 2,
        "learning_rate": 1e-3,
        "loss_type": "grpo",
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "logging_steps": 1,
        "remove_unused_columns": False,
    }
    return GRPOConfig(output_dir=str(folder), **{**defaults, **settings})


def make(
    model: Path,
    folder: Path,
    reward: Any,
    *,
    epsilon: float,
    max_rounds: int = 1,
    on_groups: Any = None,
    share_prefixes: bool = True,
    together: int = 1,
    **settings: Any,
) -> SRLTrainer:
    return SRLTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=config(folder, **settings),
        train_dataset=dataset(),
        rewards=WeightedRewards(functions={"r": reward}, weights={"r": 1.0}),
        sampling=DynamicSampling(epsilon=epsilon, max_rounds=max_rounds, steps_per_trajectory=together),
        trajectories=list("aaaabbbb"),
        format_error=lambda text: None,
        on_groups=on_groups,
        share_prefixes=share_prefixes,
    )


def weights(trainer: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


@pytest.mark.parametrize(
    "settings", [{}, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4}]
)
def test_with_the_threshold_off_it_is_the_stock_trainer_bit_for_bit(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    ours = make(tiny_model, tmp_path / "a", letters, epsilon=-1.0, share_prefixes=False, **settings)
    ours.train()
    stock = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        args=config(tmp_path / "b", **settings),
        train_dataset=dataset(),
        reward_funcs=letters,
    )
    stock.train()
    mine, theirs = weights(ours), weights(stock)
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert any(not torch.equal(mine[name], p) for name, p in start.named_parameters())


# Every way in which log-probabilities are asked for: of the policy, of the policy before the update (several updates of
# a batch), of a reference model; with gradients that are recomputed.
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta": 0.1},
        {"num_iterations": 2, "steps_per_generation": 2, "per_device_train_batch_size": 4},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 4},
        {"gradient_checkpointing": True},
        {"loss_type": "dapo", "top_entropy_quantile": 0.5},
        {"mask_truncated_completions": True, "max_completion_length": 40},
    ],
)
def test_shared_prefixes_give_the_same_updates(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    trained = {}
    for share in (False, True):
        made = make(
            tiny_model, tmp_path / str(share), letters, epsilon=-1.0, share_prefixes=share, **settings
        )
        made.train()
        logged = [row["grad_norm"] for row in made.state.log_history if "grad_norm" in row]
        trained[share] = (weights(made), logged)
    assert trained[True][1] == pytest.approx(trained[False][1], rel=1e-4)
    for name, weight in trained[False][0].items():
        torch.testing.assert_close(trained[True][0][name], weight, rtol=0, atol=2e-5)


def train_on_fixed_samples(model: Path, folder: Path, processes: int, rows: int, shares: str) -> Any:
    out = folder / f"{processes}-{shares}.pt"
    launched(processes, "tests.train_on_fixed_samples", str(model), str(out), str(rows), shares)
    return torch.load(out)


def test_two_processes_make_the_update_of_one(tiny_model: Path, tmp_path: Path) -> None:
    """Two processes with one group each of the same global batches reach the same weights, with sharing or without."""
    runs = [
        train_on_fixed_samples(tiny_model, tmp_path, 1, 8, "plain"),
        train_on_fixed_samples(tiny_model, tmp_path, 1, 8, "shares"),
        train_on_fixed_samples(tiny_model, tmp_path, 2, 4, "shares"),
    ]
    assert runs[0]["kept"] == runs[1]["kept"] == runs[2]["kept"]
    assert min(runs[0]["kept"]) < 1  # groups were dropped, and the batch filled up
    start = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).state_dict()
    for name, weight in runs[0]["weights"].items():
        for run in runs[1:]:
            torch.testing.assert_close(run["weights"][name], weight, rtol=0, atol=1e-6)
    moved = max(float((runs[0]["weights"][name] - start[name]).abs().max()) for name in start)
    assert moved > 1e-3


def test_an_unsupported_model_trains_without_sharing_and_a_warning_says_why(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("srl_agent.prefix_sharing.kv_cache.FAMILIES", frozenset({"llama"}))
    trainer = make(tiny_model, tmp_path, letters, epsilon=-1.0)
    trainer.train()
    assert "this model cannot share prefixes: its family qwen2 is none of llama" in caplog.text


def test_a_resumed_run_has_the_same_order_in_a_later_epoch(tiny_model: Path, tmp_path: Path) -> None:
    """Four updates are an epoch; the stock sampler would begin the first epoch's order anew."""

    def train(folder: str, resume: str | None = None, **settings: Any) -> tuple[list[int], Any]:
        seen: list[int] = []
        trainer = make(
            tiny_model,
            tmp_path / folder,
            letters,
            epsilon=-1.0,
            on_groups=lambda step, groups: seen.extend(group.row["step_index"] for group in groups),
            save_strategy="steps",
            save_steps=5,
            **settings,
        )
        trainer.train(resume_from_checkpoint=resume)
        return seen, weights(trainer)

    whole, wanted = train("a", max_steps=7)
    resumed, found = train("b", resume=str(tmp_path / "a" / "checkpoint-5"), max_steps=7)
    assert resumed == whole[10:]
    assert sorted(whole[:8]) == list(range(ROWS))
    assert whole[8:] != whole[:6]  # another order in the second epoch
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_steps_of_a_trajectory_share_a_batch(tiny_model: Path, tmp_path: Path) -> None:
    seen: list[list[int]] = []
    trainer = make(
        tiny_model,
        tmp_path,
        letters,
        epsilon=-1.0,
        together=2,
        max_steps=4,
        on_groups=lambda step, groups: seen.append([group.row["step_index"] for group in groups]),
    )
    trainer.train()
    assert sorted(step for steps in seen for step in steps) == list(range(ROWS))
    assert all(second == first + 1 and second != 4 for first, second in seen)
    with pytest.raises(ValueError, match=r"a batch has 2 groups, which steps_per_trajectory"):
        make(tiny_model, tmp_path, letters, epsilon=-1.0, together=3)


def test_micro_batches_hold_whole_groups_where_prompts_are_shared(tiny_model: Path, tmp_path: Path) -> None:
    trainer = make(
        tiny_model,
        tmp_path,
        letters,
        epsilon=-1.0,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 4
    # Any: TRL passes the rows of a batch, for which Trainer has another type.
    rows: Any = [row for row in dataset().select([0, 1, 2, 3]) for _ in range(4)]
    first = trainer._prepare_inputs(rows)
    cut = present(trainer._buffered_inputs)
    assert first is cut[0]
    for group, batch in enumerate(cut):
        assert batch["row"].tolist() == list(range(4 * group, 4 * group + 4))
        prompts = {tuple(p) for p in batch["prompt_ids"].tolist()}
        assert len(prompts) == 1
        assert batch["advantages"].sum().abs() < 1e-4  # its own: they are centred in a group


def test_refills_until_the_batch_has_nonzero_advantages(tiny_model: Path, tmp_path: Path) -> None:
    seen: list[Group] = []
    trainer = make(
        tiny_model,
        tmp_path,
        letters_of_even_steps,
        epsilon=1e-6,
        max_rounds=20,
        on_groups=lambda step, groups: seen.extend(groups),
    )
    trainer.train()
    kept = [group for group in seen if group.dropped is None]
    assert len(kept) == 2 * 2  # two updates of two groups, all of them with a signal
    assert {group.row["step_index"] % 2 for group in kept} == {0}
    assert any(group.round > 0 for group in seen)
    assert {g.dropped for g in seen if g.row["step_index"] % 2} == {"reward std <= epsilon"}
    logged = [row for row in trainer.state.log_history if "sampling/kept_fraction" in row]
    assert all(row["sampling/filled_fraction"] == 1.0 for row in logged)
    assert all(row["frac_reward_zero_std"] == 0.0 for row in logged)  # TRL saw kept groups only


@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo", "bnpo", "cispo", "sapo", "luspo", "vespo"])
@pytest.mark.parametrize("reward", [letters_of_even_steps, unjudged_on_odd_steps])
def test_rows_without_an_advantage_do_not_dilute_the_loss(
    tiny_model: Path, tmp_path: Path, loss_type: str, reward: Any
) -> None:
    level: dict[str, Any] = {"importance_sampling_level": "sequence"} if loss_type == "luspo" else {}
    trainer = make(
        tiny_model,
        tmp_path,
        reward,
        epsilon=1e-6,
        loss_type=loss_type,
        per_device_train_batch_size=16,
        **level,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    inputs = [row for row in dataset().select([0, 1, 2, 3]) for _ in range(4)]
    output = trainer._generate_and_score_completions(inputs)
    live = output["tool_mask"].any(dim=1)
    assert int(live.sum()) == 8

    def gradient(batch: dict[str, Any]) -> torch.Tensor:
        trainer.model.zero_grad()
        trainer._compute_loss(trainer.model, batch).backward()
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])

    diluted_or_not = gradient(output)
    trainer._loss_scale = 1.0
    only_live = {
        key: value[live] if value.dim() else value for key, value in output.items() if key != "tool_mask"
    }
    torch.testing.assert_close(diluted_or_not, gradient(only_live), rtol=1e-4, atol=1e-7)
    assert diluted_or_not.abs().max() > 0


# Beside other processes, which wait for this one's call of the model, a dead micro-batch calls it, too.
@pytest.mark.parametrize(
    ("loss_type", "others"), [("grpo", False), ("dapo", False), ("dr_grpo", False), ("grpo", True)]
)
def test_micro_batches_with_masked_rows_add_up_to_the_update(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss_type: str, others: bool
) -> None:
    """Four groups, two of them masked, in one micro-batch or in four; masked ones are not computed."""
    if others:
        monkeypatch.setattr(Accelerator, "distributed_type", DistributedType.MULTI_CPU)
    found, forwarded = [], []
    for size in (16, 4):
        trainer = make(
            tiny_model,
            tmp_path,
            letters_of_even_steps,
            epsilon=1e-6,
            loss_type=loss_type,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=16 // size,
        )
        trainer.model.train()
        trainer.current_gradient_accumulation_steps = 16 // size
        torch.manual_seed(0)
        inputs: Any = [row for row in dataset().select([0, 1, 2, 3]) for _ in range(4)]
        trainer._prepare_inputs(inputs)
        trainer.model.register_forward_pre_hook(lambda *_, size=size: forwarded.append(size))
        for batch in present(trainer._buffered_inputs):
            trainer._compute_loss(trainer.model, batch).backward()
        found.append(torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]))
    assert forwarded == [16, *[4] * (4 if others else 2)]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-7)
    assert found[0].abs().max() > 0


def test_bnpo_averages_over_the_micro_batches_with_live_rows(tiny_model: Path, tmp_path: Path) -> None:
    """Two of four groups are masked, each a micro-batch: the update is that of the other two."""
    trainer = make(
        tiny_model,
        tmp_path,
        letters_of_even_steps,
        epsilon=1e-6,
        loss_type="bnpo",
        per_device_train_batch_size=4,
        gradient_accumulation_steps=4,
    )
    trainer.model.train()
    inputs: Any = [row for row in dataset().select([0, 1, 2, 3]) for _ in range(4)]
    trainer._prepare_inputs(inputs)

    def gradient(batches: list[dict[str, Any]]) -> torch.Tensor:
        trainer.model.zero_grad()
        trainer.current_gradient_accumulation_steps = len(batches)
        for batch in batches:
            trainer._compute_loss(trainer.model, batch).backward()
        return torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])

    batches = present(trainer._buffered_inputs)
    found = gradient(batches)
    live = [batch for batch in batches if bool(batch["tool_mask"].any())]
    assert len(live) == 2
    trainer._loss_scale = 1.0
    torch.testing.assert_close(found, gradient(live), rtol=1e-4, atol=1e-7)
    assert found.abs().max() > 0


def test_fewer_rows_than_a_batch_of_groups_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a batch has 16 groups, and there are 8 rows to train on"):
        make(tiny_model, tmp_path, letters, epsilon=-1.0, per_device_train_batch_size=64)


def test_after_the_last_round_it_warns_and_trains(
    tiny_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def constant(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        return [0.5] * len(completions)

    trainer = make(tiny_model, tmp_path, constant, epsilon=1e-6, max_rounds=2, max_steps=1)
    before = weights(trainer)
    trainer.train()
    assert "0 of 2 groups have nonzero advantages after 2 rounds" in caplog.text
    assert "the weights did not change: none of 4 sampled groups has a spread" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in weights(trainer).items())


def test_a_whole_training_set_without_a_spread_ends_the_run(tiny_model: Path, tmp_path: Path) -> None:
    def constant(prompts: Any, completions: Any, **columns: Any) -> list[float]:
        return [0.5] * len(completions)

    trainer = make(tiny_model, tmp_path, constant, epsilon=1e-6, max_rounds=2, max_steps=9)
    with pytest.raises(NoSpreadError, match=f"none of {ROWS} sampled groups has a spread"):
        trainer.train()
    assert trainer.state.global_step == 1


def test_settings_that_could_not_be_resumed_exactly_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save_steps \\(3\\) must be a multiple of 2"):
        make(
            tiny_model,
            tmp_path,
            letters,
            epsilon=0.0,
            save_strategy="steps",
            save_steps=3,
            steps_per_generation=2,
        )
