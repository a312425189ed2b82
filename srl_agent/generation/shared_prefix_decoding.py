"""Sampling from prompts that are read once and kept once, whatever the number of their completions.

Stock ``generate`` copies a prompt's keys to each of its G rows and reads all copies for each token; here the rows
read the one that there is. Prompts that begin alike, as those of a trajectory's steps, share that too. A row that has
ended leaves the batch.
"""

import types
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import EosTokenCriteria, StopStringCriteria

from srl_agent.generation.cpu_weights import sampling_weights
from srl_agent.generation.shared_prompts import PromptGroup, SharedPrompts, group_prompts, use_shared_prompts
from srl_agent.prefix_sharing.kv_cache import Keys, first, forward_tokens, why_not
from srl_agent.prefix_sharing.prefix_tree import Node, Row, build_trees

# Settings of generate that are understood here; where another differs from its default, generate is left to itself.
_UNDERSTOOD = frozenset(
    {"max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "min_p", "eos_token_id",
     "pad_token_id", "bos_token_id", "use_cache", "disable_compile", "transformers_version", "_from_model_config",
     "stop_strings"}
)  # fmt: skip

# Rows of logits that are drawn from at a time. The copies of 128 rows of 49,152 words leave the processor's cache, and
# the system hands out new memory for each: 43 ms a token, against 7 of 16 rows at a time.
_DRAWN_TOGETHER = 16


def add_decoding(model: Any) -> None:
    """Let ``model.generate`` decode so on a CPU: greedily or by sampling, with the usual settings.

    All else, and every argument that is not understood here, goes to the model's own ``generate``. So does a GPU,
    which would wait for the kernels of each prompt's attention (docs/benchmarks.md). Adapters are merged for all.
    """
    generate = model.generate

    def decoding(self: Any, inputs: Any = None, generation_config: Any = None, **kwargs: Any) -> Any:
        ids = kwargs.pop("input_ids", inputs)
        mask, tokenizer = kwargs.pop("attention_mask", None), kwargs.pop("tokenizer", None)
        settings = _settings(self, generation_config, kwargs) if mask is not None else None
        sharded = _is_sharded(self)
        if settings is None or self.device.type != "cpu" or sharded:
            given = {"attention_mask": mask, "tokenizer": tokenizer}
            kwargs |= {key: value for key, value in given.items() if value is not None}
            rows = 1 if ids is None else len(ids)  # None: embeddings in place of tokens
            with nullcontext() if sharded else sampling_weights(self, rows):
                return generate(input_ids=ids, generation_config=generation_config, **kwargs)
        prompts = [row[seen].tolist() for row, seen in zip(ids, mask.bool(), strict=True)]
        new = decode(
            self,
            prompts,
            max_new_tokens=settings.max_new_tokens,
            ends=_ends(settings, tokenizer),
            choose=chooser(settings, ids.device),
        )
        return torch.cat([ids, _padded(new, settings, ids)], dim=1)

    if why_not(model) is None:
        model.generate = types.MethodType(decoding, model)


def _settings(model: Any, given: GenerationConfig | None, kwargs: dict[str, Any]) -> GenerationConfig | None:
    """What generate would go by, None where something is set that is not understood here."""
    settings, more = model._prepare_generation_config(given, **kwargs)
    defaults = settings._get_default_generation_params()
    other = {
        key
        for key, value in settings.to_dict().items()
        if key not in _UNDERSTOOD and value is not None and value is not False and value != defaults.get(key)
    }
    if other or settings.max_new_tokens is None or any(value is not None for value in more.values()):
        return None
    return settings


def _is_sharded(model: Any) -> bool:
    """Whether its weights are split over processes: then only whole calls of the model gather them."""
    if hasattr(model.get_input_embeddings().weight, "ds_id"):
        return True
    return any(type(module).__name__.startswith(("FSDP", "FullySharded")) for module in model.modules())


def _ends(settings: GenerationConfig, tokenizer: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """Which rows of new tokens, (B, T), have ended with the last of them: by an end token, or a stop string."""
    criteria = StoppingCriteriaList()
    if settings.eos_token_id is not None:
        criteria.append(EosTokenCriteria(settings.eos_token_id))
    if settings.stop_strings is not None:
        criteria.append(StopStringCriteria(tokenizer, settings.stop_strings))
    unused = torch.zeros(0)
    return lambda tokens: criteria(tokens, unused)


def _padded(new: Sequence[list[int]], settings: GenerationConfig, ids: torch.Tensor) -> torch.Tensor:
    end = settings.eos_token_id
    pad = settings.pad_token_id
    if pad is None:
        pad = 0 if end is None else end if isinstance(end, int) else end[0]
    width = max(map(len, new))
    return torch.tensor([row + [pad] * (width - len(row)) for row in new], device=ids.device, dtype=ids.dtype)


def chooser(settings: GenerationConfig, device: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    """From logits (B, vocabulary) to tokens (B,), by transformers' own filters, in its order."""
    if not settings.do_sample:
        return lambda logits: logits.argmax(dim=-1)
    filters = LogitsProcessorList()
    if settings.temperature != 1.0:
        filters.append(TemperatureLogitsWarper(settings.temperature))
    if settings.top_k:
        filters.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1.0:
        filters.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p is not None:
        filters.append(MinPLogitsWarper(settings.min_p))
    unused = torch.zeros(0, dtype=torch.long, device=device)

    def draw(logits: torch.Tensor) -> torch.Tensor:
        parts = logits.split(_DRAWN_TOGETHER)
        return torch.cat([draw_tokens(filters(unused, part.float()).softmax(dim=-1)) for part in parts])

    return draw


def draw_tokens(probabilities: torch.Tensor) -> torch.Tensor:
    """Draw a token (B,) of each row of probabilities (B, vocabulary), by one random number a row.

    ``torch.multinomial`` draws one for each word of the vocabulary: 15 of the 90 ms of a token of 16 rows. The sums
    are float64, as those of float32 would leave out words of less than about 1e-7.
    """
    sums = probabilities.cumsum(dim=-1, dtype=torch.float64)
    total = sums[:, -1:]
    points = torch.rand(total.shape, dtype=torch.float64, device=total.device) * total
    # Right of a point: a word of probability 0 has the same sum as the one before it and is never hit.
    return torch.searchsorted(sums, points, right=True)[:, 0].clamp(max=sums.shape[1] - 1)


@torch.no_grad()
def decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    ends: Callable[[torch.Tensor], torch.Tensor],
    choose: Callable[[torch.Tensor], torch.Tensor],
) -> list[list[int]]:
    """New tokens of each prompt: ``max_new_tokens``, or fewer where a row ends.

    The rows that go on, B of them with T new tokens, stand side by side by their prompts: ``choose`` makes tokens (B,)
    of their logits, ``ends`` says of their tokens, (B, T), which have ended.
    """
    with sampling_weights(model, len(prompts)):
        return _decode(model, prompts, max_new_tokens, ends, choose)


def _decode(
    model: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    ends: Callable[[torch.Tensor], torch.Tensor],
    choose: Callable[[torch.Tensor], torch.Tensor],
) -> list[list[int]]:
    read = read_prompts(model, prompts)
    sizes = [(keys[0][0].shape[2] if keys else 0, len(rows)) for keys, rows in read]
    groups = [[read[index] for index in group] for group in group_prompts(sizes)]
    order = [row for group in groups for _, rows in group for row in rows]  # of the rows in the batch
    state = SharedPrompts(
        [PromptGroup([(keys, len(rows)) for keys, rows in group], model.device) for group in groups]
    )
    del read, groups  # the state lets go of each prompt's keys where it has made room for them
    dtype = model.get_input_embeddings().weight.dtype
    repeats = model.config.num_attention_heads // model.config.num_key_value_heads
    tokens = torch.tensor([prompts[row][-1] for row in order], device=model.device)
    positions = torch.tensor([len(prompts[row]) - 1 for row in order], device=model.device)
    so_far = tokens.new_zeros(len(order), 0)
    new: list[list[int]] = [[] for _ in prompts]
    with use_shared_prompts(model):
        for _ in range(max_new_tokens):
            state.begin_token(repeats, dtype)
            hidden = model.base_model(
                input_ids=tokens[:, None],
                position_ids=positions[:, None],
                past_key_values=state,
                use_cache=True,
                shared_prompts=state,
            ).last_hidden_state
            tokens = choose(model.lm_head(hidden[:, -1]))
            so_far = torch.cat([so_far, tokens[:, None]], dim=1)
            ended = ends(so_far)
            goes_on = (~ended).nonzero()[:, 0]
            for place in ended.nonzero()[:, 0].tolist():
                new[order[place]] = so_far[place].tolist()
            order = [order[place] for place in goes_on.tolist()]
            if len(order) < len(tokens):
                tokens, positions, so_far = tokens[goes_on], positions[goes_on], so_far[goes_on]
                state.keep(goes_on)
            if not order:
                break
            positions = positions + 1
    for row, ids in zip(order, so_far.tolist(), strict=True):
        new[row] = ids
    return new


def read_prompts(model: Any, prompts: Sequence[Sequence[int]]) -> list[tuple[Keys, list[int]]]:
    """For each prompt but for its last token: its keys and its rows. What prompts begin with alike is read once."""
    groups: list[tuple[Keys, list[int]]] = []

    def visit(node: Node, above: Keys) -> None:
        path = node.trunk()
        tokens = [token for part in path for token in part.tokens]
        keys = forward_tokens(model, tokens, above) if tokens else above
        for part in path:
            if part.rows:
                groups.append((first(keys, part.end), part.rows))
            for child in part.children:
                if child not in path:
                    visit(child, first(keys, part.end))

    for tree in build_trees([Row(prompt=prompt, completion=()) for prompt in prompts]):
        visit(tree, [])
    return groups
