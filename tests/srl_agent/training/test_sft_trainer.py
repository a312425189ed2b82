"""SFT on steps: sharing prefixes between the rows of a trajectory does not change the updates."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig

from srl_agent.training.sft import StepSFTTrainer

STEPS = 4  # of each of two trajectories, whose prompts are nested


def rows(tokenizer: Any) -> list[dict[str, list[int]]]:
    made = []
    for trajectory in range(2):
        text = " ".join(f"step {i} of {trajectory} and what came of it, {i * 7}." for i in range(40))
        ids = tokenizer.encode(text)
        for step in range(STEPS):
            prompt = ids[: 300 + 60 * step]
            target = [*ids[len(prompt) : len(prompt) + 10 + step], tokenizer.eos_token_id]
            made.append({"input_ids": prompt + target, "labels": [-100] * len(prompt) + target})
    return made


def train(model: Path, folder: Path, *, share: bool, seen: list[int] | None = None, **settings: Any) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(model)
    defaults = {"per_device_train_batch_size": STEPS, "max_steps": 4, "gradient_checkpointing": False}
    trainer = StepSFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=tokenizer,
        args=SFTConfig(
            output_dir=str(folder),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            bf16=False,
            learning_rate=1e-3,
            max_length=None,
            logging_steps=1,
            remove_unused_columns=False,
            **{**defaults, **settings},
        ),
        train_dataset=Dataset.from_list(rows(tokenizer)),
        trajectories=["a"] * STEPS + ["b"] * STEPS,
        steps_per_trajectory=STEPS,
        share_prefixes=share,
    )
    if seen is not None:
        base = trainer.model.base_model
        assert isinstance(base, torch.nn.Module)
        base.register_forward_pre_hook(
            lambda module, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
        )
    trainer.train()
    return trainer


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gradient_checkpointing": True},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
        {"loss_type": "dft"},
    ],
)
def test_shared_rows_give_the_same_updates(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    runs, tokens = [], []
    for share in (False, True):
        seen: list[int] = []
        runs.append(train(tiny_model, tmp_path / str(share), share=share, seen=seen, **settings))
        tokens.append(sum(seen))
    for name in ("loss", "grad_norm", "entropy", "mean_token_accuracy", "num_tokens"):
        plain, shared = ([row[name] for row in run.state.log_history if name in row] for run in runs)
        assert len(plain) == 4
        assert shared == pytest.approx(plain, rel=1e-3)
    for (_, one), (_, other) in zip(
        runs[0].model.named_parameters(), runs[1].model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(other, one, rtol=0, atol=2e-5)
    if not settings.get("gradient_checkpointing"):  # which forwards twice, in calls or in layers
        assert tokens[1] < tokens[0]


def test_steps_of_a_trajectory_share_a_batch_in_another_order_each_epoch(
    tiny_model: Path, tmp_path: Path
) -> None:
    trainer = train(tiny_model, tmp_path, share=True, max_steps=1)
    orders = [trainer._order(epoch) for epoch in range(8)]
    assert all(sorted(order) == list(range(2 * STEPS)) for order in orders)
    assert all({row // STEPS for row in order[:STEPS]} in ({0}, {1}) for order in orders)
    assert len(set(map(tuple, orders))) > 1
