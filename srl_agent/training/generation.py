"""Greedy completions in this process: what validation measures, the same for every stage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from srl_agent.formats import Message


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Exactly what the sampler made."""

    text: str  # special tokens left out
    token_ids: tuple[int, ...]  # end token included
    finish_reason: str  # "stop" or "length"


@torch.no_grad()
def complete_greedily(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[Message]],
    *,
    max_new_tokens: int,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Completion]:
    """One greedy completion a prompt, in the order of the prompts.

    Batches hold prompts of like length. ``on_done`` hears how many more are done after each batch.
    """
    prompt_ids = [
        tokenizer.apply_chat_template(p, add_generation_prompt=True, return_dict=True)["input_ids"]
        for p in prompts
    ]
    order = sorted(range(len(prompts)), key=lambda i: len(prompt_ids[i]))
    completions: dict[int, Completion] = {}
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        inputs = tokenizer.pad(
            {"input_ids": [prompt_ids[i] for i in chosen]}, padding_side="left", return_tensors="pt"
        ).to(model.device)
        output = model.generate(
            **inputs,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            max_new_tokens=max_new_tokens,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        for i, row in zip(chosen, output[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
            completions[i] = _completion(tokenizer, row)
        on_done(len(chosen))
    return [completions[i] for i in range(len(prompts))]


def _completion(tokenizer: Any, row: list[int]) -> Completion:
    stopped = tokenizer.eos_token_id in row
    ids = row[: row.index(tokenizer.eos_token_id) + 1] if stopped else row
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return Completion(text=text, token_ids=tuple(ids), finish_reason="stop" if stopped else "length")
