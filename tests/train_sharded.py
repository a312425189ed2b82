"""Train with weights that are split over processes: ``ENGINE MODEL OUT RECIPE KEY=VALUE…``.

First with shared prefixes and with plain rows, by GRPO and SFT. The processes' rows differ: prompts that are nested,
and prompts that share little. Losses, the change of all weights and the number of tokens go to OUT. Then the recipe.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer
from trl import GRPOConfig, GRPOTrainer, SFTConfig

from benchmarks.engines import use_engine
from harness.train import main as train
from srl_agent.prefix_sharing.kv_cache import without_adapter
from srl_agent.rewards import WeightedRewards
from srl_agent.training.dynamic_sampling import DynamicSampling
from srl_agent.training.sft import StepSFTTrainer
from srl_agent.training.srl import SRLTrainer
from tests.train_on_fixed_samples import GROUP, STEPS, generate, reward, step_prompt

SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 2 * GROUP, "max_steps": 1, "learning_rate": 1.0, "optim": "sgd",
    "max_grad_norm": 1e9, "lr_scheduler_type": "constant", "report_to": "none", "save_strategy": "no",
    "disable_tqdm": True, "logging_steps": 1, "bf16": False, "remove_unused_columns": False,
    "gradient_accumulation_steps": 2,
}  # fmt: skip
ADAPTER = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")


def load(model: str, *, lora: bool) -> Any:
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    torch.manual_seed(0)  # for the adapter
    return get_peft_model(base, ADAPTER) if lora else base


def grpo(
    model: str, folder: str, engine: dict[str, Any], *, share: bool, lora: bool, checkpointing: bool
) -> Trainer:
    args = GRPOConfig(
        output_dir=folder, num_generations=GROUP, loss_type="grpo", gradient_checkpointing=checkpointing,
        **SETTINGS, **engine,
    )  # fmt: skip
    return SRLTrainer(
        model=load(model, lora=lora),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=args,
        train_dataset=Dataset.from_list([{"prompt": step_prompt(i), "step": i} for i in range(STEPS)]),
        rewards=WeightedRewards(functions={"r": reward}, weights={"r": 1.0}),
        # Without refill groups without a spread remain as fillers: micro-batches with few live rows, or none.
        sampling=DynamicSampling(epsilon=1e-3, max_rounds=1),
        format_error=lambda text: None,
        share_prefixes=share,
    )


def sft(
    model: str, folder: str, engine: dict[str, Any], *, share: bool, lora: bool, checkpointing: bool
) -> Trainer:
    args = SFTConfig(
        output_dir=folder, max_length=None, gradient_checkpointing=checkpointing,
        train_sampling_strategy="sequential", **SETTINGS, **engine,
    )  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = []
    for row in range(8 * GROUP):
        # A process has every other batch: the rows of the first one share prefixes, those of the second one do not.
        text = f"{row} alone" if row // (2 * GROUP) % 2 else step_prompt(row % 6)[0]["content"]
        prompt, target = tokenizer.encode(text), tokenizer.encode(f"action {row}")
        rows.append({"input_ids": prompt + target, "labels": [-100] * len(prompt) + target})
    return StepSFTTrainer(
        model=load(model, lora=lora),
        processing_class=tokenizer,
        args=args,
        train_dataset=Dataset.from_list(rows),
        share_prefixes=share,
    )


def trained_weights(state: dict[str, torch.Tensor]) -> torch.Tensor:
    adapted = any("lora_" in name for name in state)
    return torch.cat(
        [state[name].flatten().float() for name in sorted(state) if "lora_" in name or not adapted]
    )


def count_tokens(trainer: Trainer) -> list[int]:
    """Count the tokens that the backbone computes from here on."""
    seen: list[int] = []
    without_adapter(trainer.accelerator.unwrap_model(trainer.model)).base_model.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    return seen


def compare(engine: str, model: str, out: Path) -> None:
    found: dict[str, list[Any]] = {}
    # Before the engine is chosen: ZeRO-3 splits weights while they are loaded.
    starts = [trained_weights(load(model, lora=lora).state_dict()) for lora in (False, True)]
    settings = use_engine(engine)
    for make, lora in ((grpo, False), (grpo, True), (sft, False), (sft, True)):
        for share in (False, True):
            trainer = make(model, str(out.parent), settings, share=share, lora=lora, checkpointing=lora)
            tokens = count_tokens(trainer)
            trainer.train()
            state = trainer.accelerator.get_state_dict(trainer.model_wrapped)  # from all processes
            if trainer.accelerator.is_main_process:
                losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
                change = trained_weights(state) - starts[lora]
                found.setdefault(f"{make.__name__} {lora=}", []).append((losses, change, sum(tokens)))
            trainer.accelerator.free_memory()
    if found:
        torch.save(found, out)


def main(engine: str, model: str, out: str, *recipe: str) -> None:
    plain = GRPOTrainer._generate_single_turn
    GRPOTrainer._generate_single_turn = generate
    compare(engine, model, Path(out))
    GRPOTrainer._generate_single_turn = plain
    train(recipe)


if __name__ == "__main__":
    main(*sys.argv[1:])
