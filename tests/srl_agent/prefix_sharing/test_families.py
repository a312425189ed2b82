"""Families of models: what docs/speed.md says of them, the loss of experts, rows beyond the context."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import LlamaConfig, Qwen2Config
from trl import SFTConfig

from benchmarks.families import CONFIGS, _common, cheap_cells, make, tokenizer, training, tree
from srl_agent.context_length import ContextError, context_length
from srl_agent.generation.chat import make_chat
from srl_agent.generation.generate import complete
from srl_agent.generation.types import Sampling
from srl_agent.training.sft import StepSFTTrainer
from tests.plugin_rewards import letters
from tests.srl_agent.training.test_srl_trainer import make as make_srl
from tests.tiny_runs import ROOT


def documented() -> dict[str, list[str]]:
    lines = (ROOT / "docs/speed.md").read_text().splitlines()
    start = lines.index("| family | training | validation | sampling | prefixes |")
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[start + 2 :]]
    end = next(index for index, row in enumerate(rows) if len(row) != 5)
    return {name: cells for name, *cells in rows[:end]}


def test_the_documented_table_lists_every_family() -> None:
    assert list(documented()) == list(CONFIGS)


@pytest.mark.parametrize("name", CONFIGS)
def test_sampling_and_sharing_are_as_documented(name: str) -> None:
    assert list(cheap_cells(name)) == documented()[name][2:]


@pytest.mark.parametrize("name", ["Qwen3-MoE", "gpt-oss", "Gemma 2"])
def test_a_family_trains_and_validates_as_documented(name: str, tmp_path: Path) -> None:
    assert list(training(name, tmp_path).values()) == documented()[name][:2]


def sft(model: Any, folder: Path, **settings: Any) -> StepSFTTrainer:
    rows = [
        {"input_ids": [*r.prompt, *r.completion], "labels": [-100] * len(r.prompt) + [*r.completion]}
        for r in tree()
    ]
    return StepSFTTrainer(
        model=model,
        args=SFTConfig(max_length=None, **_common(folder), **settings),
        processing_class=tokenizer(),
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows),
    )


@pytest.mark.parametrize("name", ["Qwen3-MoE", "gpt-oss"])
def test_the_router_loss_is_added_only_if_the_arguments_ask_for_it(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = make(name).config.router_aux_loss_coef
    plain: Any = sft(make(name), tmp_path)
    assert not plain.aux_loss_enabled
    assert (
        f"coefficient 0 (trl.router_aux_loss_coef); the model's own configuration names {own:g}"
        in caplog.text
    )
    asked: Any = sft(make(name), tmp_path, router_aux_loss_coef=0.5)
    assert asked.aux_loss_enabled
    for trainer in (plain, asked):
        trainer.train()
        assert trainer.model.config.output_router_logits is False  # generate would fail with it
    assert plain.model.config.router_aux_loss_coef == own
    losses = [trainer.state.log_history[-1]["train_loss"] for trainer in (plain, asked)]
    assert losses[1] > losses[0] + 0.4  # balanced experts have a loss of top-k, at least 1


def test_context_length_counts_the_factor_of_scaled_positions() -> None:
    assert context_length(Qwen2Config(max_position_embeddings=4096)) == 4096
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096, "rope_theta": 1e4}
    assert context_length(Qwen2Config(max_position_embeddings=4096, rope_parameters=yarn)) == 16384
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
    assert context_length(LlamaConfig(max_position_embeddings=4096, rope_parameters=dynamic)) == 8192


def test_rows_beyond_the_context_end_training_and_sampling(tiny_model: Path, tmp_path: Path) -> None:
    model = make("Llama")
    model.config.max_position_embeddings = 100
    with pytest.raises(
        ContextError, match=r"longer than the model's context of 100 tokens .* steps.max_prompt_chars"
    ):
        sft(model, tmp_path).train()
    with pytest.raises(ContextError, match="1 of 2 prompts with completions of up to 30 tokens"):
        complete(model, make_chat(tokenizer()), [[5] * 60, [5] * 80], Sampling(max_tokens=30))
    srl: Any = make_srl(tiny_model, tmp_path, letters, epsilon=-1.0)
    srl.model.config.max_position_embeddings = 14
    with pytest.raises(ContextError, match="completions of up to 12 tokens"):
        srl.train()
