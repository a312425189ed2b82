"""Completions of a model in this process: what validation measures, and what a local policy samples."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling


def complete_all(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[Message]],
    *,
    sampling: Sampling,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Completion]:
    """One completion a prompt, in the order of the prompts. A prompt may stand there several times.

    Batches hold prompts of like length. ``on_done`` hears how many more are done after each batch. With a seed in
    ``sampling``, torch's global generator is left as it was found.
    """
    prompt_ids = [tokenize_prompt(tokenizer, prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompt_ids[i]))
    completions: dict[int, Completion] = {}
    with torch.random.fork_rng(enabled=sampling.seed is not None):
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = complete(model, tokenizer, [prompt_ids[i] for i in chosen], sampling)
            completions |= zip(chosen, batch, strict=True)
            on_done(len(chosen))
    return [completions[i] for i in range(len(prompts))]


def tokenize_prompt(tokenizer: Any, prompt: Sequence[Message]) -> list[int]:
    """Token ids of chat messages, up to where the answer begins."""
    ids = tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True)
    return list(ids["input_ids"])


@torch.no_grad()
def complete(
    model: Any, tokenizer: Any, prompt_ids: Sequence[Sequence[int]], sampling: Sampling
) -> list[Completion]:
    """One completion a prompt, all in one batch. Draws from torch's global generator."""
    inputs = tokenizer.pad(
        {"input_ids": [list(ids) for ids in prompt_ids]}, padding_side="left", return_tensors="pt"
    ).to(model.device)
    greedy = sampling.temperature == 0
    output = model.generate(
        **inputs,
        do_sample=not greedy,
        temperature=None if greedy else sampling.temperature,
        top_p=None if greedy else sampling.top_p,
        top_k=None if greedy else 0,  # off: left to itself transformers keeps the best 50
        max_new_tokens=sampling.max_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **({"stop_strings": list(sampling.stop), "tokenizer": tokenizer} if sampling.stop else {}),
    )
    rows = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [
        _completion(tokenizer, row, len(ids), sampling.stop)
        for ids, row in zip(prompt_ids, rows, strict=True)
    ]


def _completion(tokenizer: Any, row: list[int], prompt_tokens: int, stop: Sequence[str]) -> Completion:
    ended = tokenizer.eos_token_id in row
    ids = row[: row.index(tokenizer.eos_token_id) + 1] if ended else row
    text = tokenizer.decode(ids, skip_special_tokens=True)
    cuts = [text.index(end) for end in stop if end in text]
    if cuts:
        text = text[: min(cuts)]
        # What follows the stop string in this row is padding, and the padding may be the end token.
        while any(end in tokenizer.decode(ids[:-1], skip_special_tokens=True) for end in stop):
            ids = ids[:-1]
    return Completion(
        text=text,
        token_ids=tuple(ids),
        finish_reason="stop" if ended or cuts else "length",
        prompt_tokens=prompt_tokens,
        completion_tokens=len(ids),
    )
