"""Which families of models train, validate and sample, and share prefixes exactly: a table, from tiny random models.

    python benchmarks/families.py

docs/speed.md holds its output.
"""

import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import transformers as T
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast
from trl import GRPOConfig, SFTConfig
from trl.trainer.utils import add_fused_lm_head

from srl_agent.generation.chat import make_chat
from srl_agent.generation.generate import complete
from srl_agent.generation.shared_prefix_decoding import add_decoding, stock_reason
from srl_agent.generation.types import Sampling
from srl_agent.prefix_sharing.kv_cache import unsupported_reason
from srl_agent.prefix_sharing.logprobs import Scores, add_shared_prefix
from srl_agent.prefix_sharing.prefix_tree import Row
from srl_agent.rewards import WeightedRewards
from srl_agent.training.dynamic_sampling import DynamicSampling
from srl_agent.training.lm_head import fit_lm_head_to_cpu
from srl_agent.training.sft import StepSFTTrainer
from srl_agent.training.srl import SRLTrainer

_SIZES: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, "initializer_range": 0.2, "pad_token_id": 0,
    "eos_token_id": 0, "bos_token_id": 0,
}  # fmt: skip
_HEAD: dict[str, Any] = {**_SIZES, "head_dim": 16}
_WINDOW: dict[str, Any] = {"sliding_window": 16}  # tokens; the rows below are longer
_MIXED: dict[str, Any] = {**_WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_ROPE: dict[str, Any] = {"factor": 2.0, "rope_theta": 10_000.0}
_LONG: dict[str, Any] = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, **_ROPE,
         "original_max_position_embeddings": 1024}  # fmt: skip
_YARN: dict[str, Any] = {"rope_type": "yarn", "original_max_position_embeddings": 1024, **_ROPE}
CONFIGS: dict[str, PretrainedConfig] = {
    "Llama": T.LlamaConfig(**_SIZES),
    "Llama, dynamic rope": T.LlamaConfig(**_SIZES, rope_parameters={"rope_type": "dynamic", **_ROPE}),
    "Qwen2": T.Qwen2Config(**_SIZES),
    "Qwen2, YaRN": T.Qwen2Config(**_SIZES, rope_parameters=_YARN),
    "Qwen2, window": T.Qwen2Config(**_SIZES, **_WINDOW, use_sliding_window=True, max_window_layers=1),
    "Qwen3": T.Qwen3Config(**_HEAD),
    "Mistral": T.MistralConfig(**_SIZES, sliding_window=None),
    "Mistral, window": T.MistralConfig(**_SIZES, **_WINDOW),
    "SmolLM3": T.SmolLM3Config(**_SIZES),
    "Gemma 2": T.Gemma2Config(**_HEAD, **_WINDOW),
    "Gemma 3": T.Gemma3TextConfig(**_HEAD, **_MIXED),
    "Phi-3": T.Phi3Config(**_SIZES),
    "Phi-3, longrope": T.Phi3Config(
        **_SIZES, rope_parameters=_LONG, original_max_position_embeddings=1024
    ),
    "Granite": T.GraniteConfig(**_SIZES, logits_scaling=4.0),
    "OLMo 2": T.Olmo2Config(**_SIZES),
    "OLMo 3": T.Olmo3Config(**_SIZES, **_MIXED),
    "StarCoder2": T.Starcoder2Config(**_SIZES, **_WINDOW, residual_dropout=0.0, embedding_dropout=0.0),
    "GLM-4": T.Glm4Config(**_HEAD),
    "Mixtral": T.MixtralConfig(**_SIZES, num_local_experts=4),
    "Qwen3-MoE": T.Qwen3MoeConfig(**_HEAD, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32),
    "gpt-oss": T.GptOssConfig(
        **_HEAD, **_MIXED, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters={**_YARN, "truncate": False},
    ),
    "GPT-2": T.GPT2Config(n_embd=32, n_layer=2, n_head=2, vocab_size=320, n_positions=2048, bos_token_id=0,
                          eos_token_id=0, pad_token_id=0, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0),
}  # fmt: skip


def make(name: str) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(deepcopy(CONFIGS[name]))


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes."""
    words = {word: i for i, word in enumerate(["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    core = Tokenizer(models.BPE(vocab=words, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    template = "{% for message in messages %}{{ message['content'] }}<end>{% endfor %}"
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<end>", pad_token="<end>", chat_template=template
    )


def tree(seed: int = 0) -> list[Row]:
    """Return rows of three nested prompts, four completions each."""
    draw = random.Random(seed)
    tokens = [draw.randrange(1, 256) for _ in range(150)]
    return [
        Row(prompt=tokens[:length], completion=[draw.randrange(1, 256) for _ in range(9)])
        for length in (60, 100, 150)
        for _ in range(4)
    ]


def sharing(name: str) -> tuple[float, float] | str:
    """Return the greatest difference of log-probabilities and the relative one of gradients; or why rows are whole."""
    fit_lm_head_to_cpu()
    model = make(name).train()
    if reason := unsupported_reason(model):
        return reason
    add_fused_lm_head(model)
    add_shared_prefix(model)
    rows = tree()
    whole = [_score(model, row) for row in rows]
    expected = _gradient(model, whole)
    shared: list[Scores] = model(shared_rows=rows)
    found = [scores.log_probs for scores in shared]
    actual = _gradient(model, found)
    greatest = max(float((a - b).abs().max()) for a, b in zip(whole, found, strict=True))
    return greatest, float((actual - expected).norm() / expected.norm())


def _score(model: Any, row: Row) -> torch.Tensor:
    ids = torch.tensor([[*row.prompt, *row.completion]])
    labels = ids.clone()
    labels[:, : len(row.prompt)] = -100
    scores: torch.Tensor = model(input_ids=ids, labels=labels, fused_lm_head=True).log_probs
    return scores[0, -len(row.completion) :]


def _gradient(model: Any, scores: Sequence[torch.Tensor]) -> torch.Tensor:
    model.zero_grad()
    torch.stack([score.sum() * (1 + i) for i, score in enumerate(scores)]).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def sampling(name: str) -> str:
    """Return whose decoding is used; ours is compared with stock ``generate``, greedily, token by token."""
    stock, model = make(name).eval(), make(name).eval()
    if reason := stock_reason(model):
        return f"stock: {reason}" if unsupported_reason(model) is None else "stock"
    add_decoding(model)
    prompts = [list(row.prompt) for row in tree()]
    longest = max(map(len, prompts))
    inputs = {
        "input_ids": torch.tensor([[0] * (longest - len(p)) + p for p in prompts]),
        "attention_mask": torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts]),
    }
    settings = {"max_new_tokens": 40, "do_sample": False}
    wanted, found = stock.generate(**inputs, **settings), model.generate(**inputs, **settings)
    return "shared" if torch.equal(wanted[:, : found.shape[1]], found) else "DIFFERS"


def training(name: str, folder: Path) -> dict[str, str]:
    """Make an update of SFT and one of SRL, and validate after each."""
    words, common = tokenizer(), _common(folder)
    tokens = [{"input_ids": [*row.prompt, *row.completion], "labels": [-100] * len(row.prompt) + [*row.completion]}
              for row in tree()]  # fmt: skip
    prompts = [{"prompt": [{"role": "user", "content": f"step {i} " * 9}]} for i in range(4)]
    answers = []

    def validate(trainer: Any) -> dict[str, float]:
        answers.append(
            complete(trainer.model, make_chat(words), [[5] * 40, [6] * 30], Sampling(max_tokens=5))
        )
        return {"eval_answers": float(len(answers[-1]))}

    shared: Any = {"processing_class": words, "validate": validate}
    sft = SFTConfig(max_length=None, **common)
    StepSFTTrainer(model=make(name), args=sft, train_dataset=Dataset.from_list(tokens),
                   eval_dataset=Dataset.from_list(tokens), **shared).train()  # fmt: skip
    grpo = GRPOConfig(num_generations=4, max_completion_length=8, **common)
    rewards = WeightedRewards(functions={"r": _count_letters}, weights={"r": 1.0})
    SRLTrainer(
        model=make(name), args=grpo, train_dataset=Dataset.from_list(prompts), rewards=rewards,
        eval_dataset=Dataset.from_list(prompts), sampling=DynamicSampling(epsilon=-1.0, max_rounds=1),
        format_error=lambda text: None, **shared,
    ).train()  # fmt: skip
    return {"training": "yes", "validation": "yes" if len(answers) == 2 else "no"}


def _common(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder), "per_device_train_batch_size": 4, "max_steps": 1, "eval_strategy": "steps",
        "eval_steps": 1, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "use_cpu": True,
        "bf16": False, "remove_unused_columns": False, "gradient_checkpointing": False,
    }  # fmt: skip


def _count_letters(
    prompts: Sequence[Any], completions: Sequence[Any], **columns: object
) -> list[float | None]:
    return [float(len(str(completion)) % 7) for completion in completions]


def cheap_cells(name: str) -> tuple[str, str]:
    """Return the cells on sampling and sharing."""
    shared = sharing(name)
    if isinstance(shared, str):
        return sampling(name), f"falls back: {shared.partition(' is none of ')[0]}"
    exact = shared[0] < 1e-5 and shared[1] < 1e-5
    return sampling(name), "exact" if exact else f"DIFFERS {shared}"


def table(names: Sequence[str]) -> str:
    lines = ["| family | training | validation | sampling | prefixes |", "| --- | --- | --- | --- | --- |"]
    for name in names:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):  # the trainers print
            run = training(name, Path(folder))
        cells = [name, run["training"], run["validation"], *cheap_cells(name)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    logging.disable(logging.WARNING)
    print(table(list(CONFIGS)))


if __name__ == "__main__":
    main()
