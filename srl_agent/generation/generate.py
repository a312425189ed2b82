"""Complete prompts with a model in this process, for validation and for local policies."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from srl_agent.context_length import check_context
from srl_agent.formats import Message
from srl_agent.generation.chat import Chat
from srl_agent.generation.settings import own_ends_only, transformers_settings
from srl_agent.generation.types import Completion, Sampling

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM


def complete_all(
    model: "CausalLM",
    chat: Chat,
    prompts: Sequence[list[Message]],
    *,
    sampling: Sampling,
    batch_size: int,
    on_done: Callable[[int], None] = lambda count: None,
) -> list[Completion]:
    """Return one completion per prompt, in order. A prompt may occur several times.

    Batches hold prompts of similar length. ``on_done`` is called after each batch with its size. With a seed in
    ``sampling``, the state of torch's global generator is restored. Raises ModelError.
    """
    prompt_ids = chat.batch_ids(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompt_ids[i]))
    completions: dict[int, Completion] = {}
    with torch.random.fork_rng(enabled=sampling.seed is not None):
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = complete(model, chat, [prompt_ids[i] for i in chosen], sampling)
            completions |= zip(chosen, batch, strict=True)
            on_done(len(chosen))
    return [completions[i] for i in range(len(prompts))]


@torch.no_grad()
def complete(
    model: "CausalLM", chat: Chat, prompt_ids: Sequence[Sequence[int]], sampling: Sampling
) -> list[Completion]:
    """Return one completion per prompt, all from one batch. Draws from torch's global generator.

    The model loses what its ``generation_config`` asks for (``own_ends_only``). Raises ContextError.
    """
    lengths = [len(ids) + sampling.max_tokens for ids in prompt_ids]
    check_context(lengths, model.config, f"prompts with completions of up to {sampling.max_tokens} tokens")
    tokenizer, ends = chat.tokenizer, own_ends_only(model, chat)
    unpadded = {"input_ids": [list(ids) for ids in prompt_ids]}
    inputs = tokenizer.pad(unpadded, padding_side="left", return_tensors="pt").to(model.device)
    output = model.generate(
        **inputs,
        generation_config=transformers_settings(sampling, ends, tokenizer.pad_token_id),
        **({"tokenizer": tokenizer} if sampling.stop else {}),
    )
    rows = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [
        completion(chat, ids, row, ends, sampling.stop) for ids, row in zip(prompt_ids, rows, strict=True)
    ]


def completion(
    chat: Chat, prompt_ids: Sequence[int], row: list[int], ends: Sequence[int], stop: Sequence[str]
) -> Completion:
    """Return new tokens as a completion: up to the first end token or stop string, whatever padding follows."""
    end = next((index for index, token in enumerate(row) if token in ends), None)
    ids = row if end is None else row[: end + 1]
    text = chat.decode(ids)
    cuts = [text.index(string) for string in stop if string in text]
    if cuts:
        text = text[: min(cuts)]
        # What follows the stop string in this row is padding, and the padding may be the end token.
        while any(string in chat.decode(ids[:-1]) for string in stop):
            ids = ids[:-1]
    return Completion(
        text=chat.opened(prompt_ids) + text,
        token_ids=tuple(ids),
        finish_reason="length" if end is None and not cuts else "stop",
        prompt_tokens=len(prompt_ids),
        completion_tokens=len(ids),
    )
