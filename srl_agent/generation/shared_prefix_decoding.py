"""Sampling with each prompt computed and cached once, whatever the number of its completions.

Stock ``generate`` copies a prompt's KV cache to each of its G rows and reads all copies for each token; here the rows
read a single one. Prefixes that prompts share, as those of a trajectory's steps do, are computed once too. A finished
row leaves the batch.
"""

import logging
import types
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteriaList,
)
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import EosTokenCriteria, StopStringCriteria

from srl_agent.generation.cpu_weights import sampling_weights
from srl_agent.generation.shared_prompts import PromptGroup, SharedPrompts, group_prompts, use_shared_prompts
from srl_agent.prefix_sharing.kv_cache import (
    KVCache,
    embedding_dtype,
    forward_tokens,
    truncate,
    unsupported_reason,
)
from srl_agent.prefix_sharing.prefix_tree import Node, Row, build_trees

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM

logger = logging.getLogger(__name__)

# Settings of generate that are supported here; if another one differs from its default, stock generate runs.
_SUPPORTED = frozenset(
    {"max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "min_p", "eos_token_id",
     "pad_token_id", "bos_token_id", "use_cache", "disable_compile", "transformers_version", "_from_model_config",
     "stop_strings"}
)  # fmt: skip

# Rows of logits per draw. The copies of 128 rows of 49,152 words exceed the processor's cache, and the system hands out
# new memory for each: 43 ms a token, against 7 with 16 rows at a time.
_ROWS_PER_DRAW = 16

IsFinished = Callable[[Tensor], Tensor]  # new tokens (B, T) -> (B,), True where a row has ended
Computed = list[tuple[KVCache, list[int]]]  # of each prompt, with its rows
SelectTokens = Callable[[Tensor], Tensor]  # logits (B, vocabulary) -> tokens (B,)


def add_decoding(model: "CausalLM") -> None:
    """Let ``model.generate`` decode this way on a CPU: greedily or by sampling, with the usual settings.

    Calls with any other argument go to the model's own ``generate``, with adapters merged. So do calls on a GPU, which
    would wait for the kernels of each prompt's attention (docs/benchmarks.md).
    """
    generate = model.generate

    def decoding(
        self: "CausalLM",
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        **kwargs: Any,
    ) -> Tensor:
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
        most, is_finished = settings.max_new_tokens, _is_finished(settings, tokenizer)
        select = token_selector(settings, ids.device)
        new = decode(self, prompts, max_new_tokens=most, is_finished=is_finished, select=select)
        return torch.cat([ids, _padded(new, settings, ids)], dim=1)

    if (reason := stock_reason(model)) is None:
        model.generate = types.MethodType(decoding, model)
    elif model.device.type == "cpu":
        logger.warning("stock generate samples: %s", reason)


def stock_reason(model: PreTrainedModel) -> str | None:
    """Return why stock ``generate`` samples with this model, None if :func:`decode` gives the same."""
    if reason := unsupported_reason(model):
        return reason
    if any(hasattr(module, "sinks") for module in model.modules()):
        return "its attention has sinks"
    if model.config._attn_implementation == "eager" and getattr(model.config, "attn_logit_softcapping", None):
        return "its eager attention caps the scores, which sdpa does not"
    return None


def _settings(
    model: "CausalLM", given: GenerationConfig | None, kwargs: dict[str, Any]
) -> GenerationConfig | None:
    """Return the settings that generate would use, None if one of them is not supported here."""
    settings, more = model._prepare_generation_config(given, **kwargs)
    defaults = settings._get_default_generation_params()
    other = {
        key
        for key, value in settings.to_dict().items()
        if key not in _SUPPORTED and value is not None and value is not False and value != defaults.get(key)
    }
    if other or settings.max_new_tokens is None or any(value is not None for value in more.values()):
        return None
    return settings


def _is_sharded(model: PreTrainedModel) -> bool:
    """Return whether the weights are split over processes: then only whole calls of the model gather them."""
    if hasattr(model.get_input_embeddings().weight, "ds_id"):
        return True
    return any(type(module).__name__.startswith(("FSDP", "FullySharded")) for module in model.modules())


def _is_finished(settings: GenerationConfig, tokenizer: PreTrainedTokenizerBase) -> IsFinished:
    """Return a test of whether the last new token ends a row: an end token, or the end of a stop string."""
    criteria = StoppingCriteriaList()
    if settings.eos_token_id is not None:
        criteria.append(EosTokenCriteria(settings.eos_token_id))
    if settings.stop_strings is not None:
        criteria.append(StopStringCriteria(tokenizer, settings.stop_strings))
    unused = torch.zeros(0)
    return lambda tokens: criteria(tokens, unused)


def _padded(new: Sequence[list[int]], settings: GenerationConfig, ids: Tensor) -> Tensor:
    end = settings.eos_token_id
    pad = settings.pad_token_id
    if pad is None:
        pad = 0 if end is None else end if isinstance(end, int) else end[0]
    width = max(map(len, new))
    return torch.tensor([row + [pad] * (width - len(row)) for row in new], device=ids.device, dtype=ids.dtype)


def token_selector(settings: GenerationConfig, device: torch.device | str) -> SelectTokens:
    """Return the function from logits to tokens, with transformers' own filters in its order."""
    if not settings.do_sample:
        return lambda logits: logits.argmax(dim=-1)
    processors = LogitsProcessorList()
    if settings.temperature != 1.0:
        processors.append(TemperatureLogitsWarper(settings.temperature))
    if settings.top_k:
        processors.append(TopKLogitsWarper(settings.top_k))
    if settings.top_p < 1.0:
        processors.append(TopPLogitsWarper(settings.top_p))
    if settings.min_p is not None:
        processors.append(MinPLogitsWarper(settings.min_p))
    filters: Callable[..., Tensor] = processors
    unused = torch.zeros(0, dtype=torch.long, device=device)

    def draw(logits: Tensor) -> Tensor:
        parts: Sequence[Tensor] = logits.split(_ROWS_PER_DRAW)
        return torch.cat([draw_tokens(filters(unused, part.float()).softmax(dim=-1)) for part in parts])

    return draw


def draw_tokens(probabilities: Tensor) -> Tensor:
    """Draw a token (B,) from each row of probabilities (B, vocabulary), with one random number per row.

    ``torch.multinomial`` draws one for each word of the vocabulary: 15 of the 90 ms of a token of 16 rows. The sums
    are float64: in float32, words of less than about 1e-7 would be lost.
    """
    sums = probabilities.cumsum(dim=-1, dtype=torch.float64)
    total = sums[:, -1:]
    points = torch.rand(total.shape, dtype=torch.float64, device=total.device) * total
    # right=True: a word of probability 0 has the same sum as the one before it and is never drawn.
    return torch.searchsorted(sums, points, right=True)[:, 0].clamp(max=sums.shape[1] - 1)


@torch.no_grad()
def decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    is_finished: IsFinished,
    select: SelectTokens,
) -> list[list[int]]:
    """Return the new tokens of each prompt: ``max_new_tokens``, or fewer where a row finishes."""
    with sampling_weights(model, len(prompts)):
        return _decode(model, prompts, max_new_tokens, is_finished, select)


def _decode(
    model: PreTrainedModel,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    is_finished: IsFinished,
    select: SelectTokens,
) -> list[list[int]]:
    order, state = _start(model, prompts)
    dtype = embedding_dtype(model)
    repeats = model.config.num_attention_heads // model.config.num_key_value_heads
    tokens = torch.tensor([prompts[row][-1] for row in order], device=model.device)
    positions = torch.tensor([len(prompts[row]) - 1 for row in order], device=model.device)
    so_far = tokens.new_zeros(len(order), 0)
    new: list[list[int]] = [[] for _ in prompts]
    with use_shared_prompts(model):
        for _ in range(max_new_tokens):
            state.begin_token(repeats, dtype)
            logits = model(  # with what a family does to its logits
                input_ids=tokens[:, None],
                position_ids=positions[:, None],
                past_key_values=state,
                use_cache=True,
                shared_prompts=state,
            ).logits
            tokens = select(logits[:, -1])
            so_far = torch.cat([so_far, tokens[:, None]], dim=1)
            finished = is_finished(so_far)
            unfinished = (~finished).nonzero()[:, 0]
            for index in finished.nonzero()[:, 0].tolist():
                new[order[index]] = so_far[index].tolist()
            order = [order[index] for index in unfinished.tolist()]
            if len(order) < len(tokens):
                tokens, positions, so_far = tokens[unfinished], positions[unfinished], so_far[unfinished]
                state.keep(unfinished)
            if not order:
                break
            positions = positions + 1
    for row, ids in zip(order, so_far.tolist(), strict=True):
        new[row] = ids
    return new


def _start(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> tuple[list[int], SharedPrompts]:
    """Compute the prompts; return the rows in the order of the batch, and the cache.

    Only the cache refers to the prompts' keys after this, so that it can free them once it has copied them.
    """
    computed = compute_prompts(model, prompts)
    sizes = [(kv_cache[0][0].shape[2] if kv_cache else 0, len(rows)) for kv_cache, rows in computed]
    groups = [[computed[index] for index in group] for group in group_prompts(sizes)]
    order = [row for group in groups for _, rows in group for row in rows]
    counted = [[(kv, len(rows)) for kv, rows in group] for group in groups]
    return order, SharedPrompts([PromptGroup(group, model.device) for group in counted])


def compute_prompts(model: PreTrainedModel, prompts: Sequence[Sequence[int]]) -> Computed:
    """Return KV cache and rows of each distinct prompt without its last token; shared prefixes are computed once."""
    computed: Computed = []

    def visit(node: Node, prefix_kv: KVCache) -> None:
        path = node.trunk()
        tokens = [token for part in path for token in part.tokens]
        path_kv = forward_tokens(model, tokens, prefix_kv) if tokens else prefix_kv
        for part in path:
            if part.rows:
                computed.append((truncate(path_kv, part.end), part.rows))
            for child in part.children:
                if child not in path:
                    visit(child, truncate(path_kv, part.end))

    for tree in build_trees([Row(prompt=prompt, completion=()) for prompt in prompts]):
        visit(tree, [])
    return computed
