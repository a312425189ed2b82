"""Complete prompts with a model in this process, for validation and for local policies."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from transformers import BatchEncoding
from transformers import PreTrainedTokenizerBase as Tokenizer

from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM


def complete_all(
    model: "CausalLM",
    tokenizer: Tokenizer,
    prompts: Sequence[list[Message]],
    *,
    sampling: Sampling,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Completion]:
    """Return one completion per prompt, in order. A prompt may occur several times.

    Batches hold prompts of similar length. ``on_done`` is called after each batch with its size. With a seed in
    ``sampling``, the state of torch's global generator is restored.
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


def tokenize_prompt(tokenizer: Tokenizer, prompt: Sequence[Message]) -> list[int]:
    """Return the token ids of chat messages, up to where the answer begins."""
    ids = tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True)
    assert isinstance(ids, BatchEncoding)
    return list(ids["input_ids"])


@torch.no_grad()
def complete(
    model: "CausalLM", tokenizer: Tokenizer, prompt_ids: Sequence[Sequence[int]], sampling: Sampling
) -> list[Completion]:
    """Return one completion per prompt, all from one batch. Draws from torch's global generator."""
    unpadded = {"input_ids": [list(ids) for ids in prompt_ids]}
    inputs = tokenizer.pad(unpadded, padding_side="left", return_tensors="pt").to(model.device)
    greedy = sampling.temperature == 0
    output = model.generate(
        **inputs,
        do_sample=not greedy,
        temperature=None if greedy else sampling.temperature,
        top_p=None if greedy else sampling.top_p,
        top_k=None if greedy else 0,  # off: transformers' default keeps the 50 most likely tokens
        max_new_tokens=sampling.max_tokens,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **({"stop_strings": list(sampling.stop), "tokenizer": tokenizer} if sampling.stop else {}),
    )
    rows = output[:, inputs["input_ids"].shape[1] :].tolist()
    pairs = zip(prompt_ids, rows, strict=True)
    return [_completion(tokenizer, row, len(ids), sampling.stop) for ids, row in pairs]


def _completion(tokenizer: Tokenizer, row: list[int], prompt_tokens: int, stop: Sequence[str]) -> Completion:
    ended = tokenizer.eos_token_id in row
    ids = row[: row.index(tokenizer.eos_token_id) + 1] if ended else row
    text = _decode(tokenizer, ids)
    cuts = [text.index(end) for end in stop if end in text]
    if cuts:
        text = text[: min(cuts)]
        # What follows the stop string in this row is padding, and the padding may be the end token.
        while any(end in _decode(tokenizer, ids[:-1]) for end in stop):
            ids = ids[:-1]
    return Completion(
        text=text,
        token_ids=tuple(ids),
        finish_reason="stop" if ended or cuts else "length",
        prompt_tokens=prompt_tokens,
        completion_tokens=len(ids),
    )


def _decode(tokenizer: Tokenizer, ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert isinstance(text, str)
    return text
