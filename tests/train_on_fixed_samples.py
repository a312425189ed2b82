"""Three GRPO updates whose samples depend on the prompt and the place in its group alone: ``MODEL OUT ROWS SHARES``.

A global batch is two steps of one trajectory, four samples each; every third step's samples are all alike, and its
group is dropped. Writes the weights to OUT.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from srl_agent.rewards import WeightedRewards, completion_text
from srl_agent.training.dynamic_sampling import DynamicSampling
from srl_agent.training.srl import SRLTrainer

GROUP = 4
STEPS = 12  # of two trajectories; the prompts of each are nested


def step_prompt(step: int) -> list[dict[str, str]]:
    told = " ".join(f"action {i} and what came of it, {i * 7}." for i in range(step % 6 * 3 + 6))
    return [{"role": "user", "content": f"task {step // 6}: {told}"}]


def sample(prompt: list[int], place: int, end: int) -> list[int]:
    return [(sum(prompt) * 7 + place * 31 + i * 3) % 400 + 10 for i in range(3 + place * 5)] + [end]


def generate(
    self: Any, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, **kwargs: Any
) -> Any:
    end, first = self.processing_class.eos_token_id, self.accelerator.process_index * len(prompt_ids)
    return [sample(ids, (first + number) % GROUP, end) for number, ids in enumerate(prompt_ids)], None


def reward(prompts: Any, completions: Any, step: Any, **columns: Any) -> list[float | None]:
    texts = map(completion_text, completions)
    return [0.5 if s % 3 == 2 else len(text) % 10 / 10 for text, s in zip(texts, step, strict=True)]


def main(model: str, out: str, rows: str, shares: str) -> None:
    GRPOTrainer._generate_single_turn = generate
    trainer = SRLTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        processing_class=AutoTokenizer.from_pretrained(model),
        args=GRPOConfig(
            output_dir=str(Path(out).parent / f"run{os.environ.get('RANK', '')}"),
            per_device_train_batch_size=int(rows),
            num_generations=GROUP,
            max_steps=3,
            learning_rate=0.1,
            optim="sgd",
            loss_type="grpo",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            logging_steps=1,
            use_cpu=True,
            bf16=False,
            remove_unused_columns=False,
        ),
        train_dataset=Dataset.from_list([{"prompt": step_prompt(i), "step": i} for i in range(STEPS)]),
        rewards=WeightedRewards(functions={"r": reward}, weights={"r": 1.0}),
        sampling=DynamicSampling(epsilon=1e-3, max_rounds=3, steps_per_trajectory=2),
        trajectories=[str(i // 6) for i in range(STEPS)],
        format_error=lambda text: None,
        share_prefixes=shares == "shares",
    )
    trainer.train()
    if trainer.accelerator.is_main_process:
        weights = trainer.accelerator.unwrap_model(trainer.model).state_dict()
        dropped = [row["sampling/kept_fraction"] for row in trainer.state.log_history if "reward" in row]
        torch.save({"weights": weights, "kept": dropped}, out)
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
