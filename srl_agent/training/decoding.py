"""Sampling from prompts that are read once and kept once, whatever the number of their completions.

Stock ``generate`` copies a prompt's keys to each of its G rows and reads all copies for each token; here the rows
read the one that there is. Prompts that begin alike, as those of a trajectory's steps, share that too. A row that has
ended leaves the batch.
"""

import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, GenerationConfig, LogitsProcessorList, StoppingCriteriaList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.generation.stopping_criteria import EosTokenCriteria, StopStringCriteria

from srl_agent.training.kept_keys import Keys, first, forward_tokens, why_not
from srl_agent.training.prefix_tree import Node, Row, build_trees
from srl_agent.training.reordered_weights import reordered

_BLOCK = 64  # tokens by which the room for new keys grows
_NAME = "shared_prompts"
# Settings of generate that are understood here; where another differs from its default, generate is left to itself.
_UNDERSTOOD = frozenset(
    {"max_new_tokens", "max_length", "do_sample", "temperature", "top_k", "top_p", "min_p", "eos_token_id",
     "pad_token_id", "bos_token_id", "use_cache", "disable_compile", "transformers_version", "_from_model_config",
     "stop_strings"}
)  # fmt: skip


def add_decoding(model: Any) -> None:
    """Let ``model.generate`` decode so on a CPU: greedily or by sampling, with the usual settings.

    All else, and every argument that is not understood here, goes to the model's own ``generate``. So does a GPU,
    which would wait for the kernels of each prompt's attention (docs/benchmarks.md).
    """
    generate = model.generate

    def decoding(self: Any, inputs: Any = None, generation_config: Any = None, **kwargs: Any) -> Any:
        ids = kwargs.pop("input_ids", inputs)
        mask, tokenizer = kwargs.pop("attention_mask", None), kwargs.pop("tokenizer", None)
        settings = _settings(self, generation_config, kwargs) if mask is not None else None
        if settings is None or self.device.type != "cpu" or _is_sharded(self):
            given = {"attention_mask": mask, "tokenizer": tokenizer}
            kwargs |= {key: value for key, value in given.items() if value is not None}
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
        scores = filters(unused, logits.float())
        return torch.multinomial(scores.softmax(dim=-1), num_samples=1)[:, 0]

    return draw


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
    groups = read_prompts(model, prompts)
    order = [row for _, rows in groups for row in rows]  # of the rows in the batch
    weight = model.get_input_embeddings().weight
    state = _Batch([_Prompt(keys, len(rows), weight) for keys, rows in groups])
    queries = model.config.num_attention_heads // model.config.num_key_value_heads
    tokens = torch.tensor([prompts[row][-1] for row in order], device=model.device)
    positions = torch.tensor([len(prompts[row]) - 1 for row in order], device=model.device)
    so_far = tokens.new_zeros(len(order), 0)
    new: list[list[int]] = [[] for _ in prompts]
    with _attending(model), reordered(model, len(order)):
        for _ in range(max_new_tokens):
            state.begin_token(queries, weight.dtype)
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


class _Prompt:
    """Keys of a prompt and, behind them, of the new tokens of all its rows; who sees which of them."""

    def __init__(self, keys: Keys, rows: int, like: torch.Tensor) -> None:
        self.rows = rows
        self._room: dict[int, list[torch.Tensor]] = {}  # by layer: keys and values, (heads, room, size)
        self._prompt = keys
        length = keys[0][0].shape[2] if keys else 0
        self._length = length
        self._seen = torch.ones(rows, length, dtype=torch.bool, device=like.device)
        self.bias = like.new_zeros(0)  # of the token that is being decoded: (rows × heads of each, keys)

    def begin_token(self, queries: int, dtype: torch.dtype) -> None:
        """A token is added to each row: it sees the prompt and those of its own row."""
        own = torch.eye(self.rows, dtype=torch.bool, device=self._seen.device)
        self._seen = torch.cat([self._seen, own], dim=1)
        self._length += self.rows
        bias = torch.zeros_like(self._seen, dtype=dtype).masked_fill(~self._seen, float("-inf"))
        self.bias = bias.repeat_interleave(queries, dim=0)

    def add(self, layer: int, new: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Keys and values of the token, (rows, heads, 1, size) each; all so far come back, (1, heads, length, size)."""
        end = self._length
        room = self._room.get(layer)
        if room is None or room[0].shape[1] < end:
            shape = (new[0].shape[1], self.rows * _BLOCK, new[0].shape[3])
            before = room or ([part[0] for part in self._prompt[layer]] if self._prompt else [])
            more = new[0].new_empty(shape)
            room = [torch.cat([part, more], dim=1) for part in before] or [more, more.clone()]
            self._room[layer] = room
        for place, part in zip(room, new, strict=True):
            place[:, end - self.rows : end] = part[:, :, 0].transpose(0, 1)
        return [place[None, :, :end] for place in room]

    def keep(self, rows: torch.Tensor) -> None:
        """Only these rows go on; the keys of the others stay, unseen."""
        self._seen = self._seen[rows]
        self.rows = len(rows)


class _Batch:
    """The prompts of a batch, whose rows stand side by side. To transformers it is a cache."""

    is_compileable = False

    def __init__(self, prompts: Sequence[_Prompt]) -> None:
        self.prompts = list(prompts)

    def begin_token(self, queries: int, dtype: torch.dtype) -> None:
        for prompt in self.prompts:
            prompt.begin_token(queries, dtype)

    def update(self, keys: Any, values: Any, layer: int, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return keys, values  # they are kept where they are attended to

    def keep(self, rows: torch.Tensor) -> None:
        """Only these rows (in order) go on."""
        start = 0
        for prompt in self.prompts:
            mine = (rows >= start) & (rows < start + prompt.rows)
            end = start + prompt.rows
            prompt.keep(rows[mine] - start)
            start = end
        self.prompts = [prompt for prompt in self.prompts if prompt.rows]


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    before = model.config._attn_implementation
    model.config._attn_implementation = _NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


def _attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    shared_prompts: _Batch,
    scaling: float,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of one new token a row, (B, heads, 1, size), to its prompt and to the row's new tokens."""
    heads, size = query.shape[1], query.shape[3]
    kept = key.shape[1]
    outputs = []
    start = 0
    for prompt in shared_prompts.prompts:
        of = slice(start, start + prompt.rows)
        start = of.stop
        keys, values = prompt.add(module.layer_idx, (key[of], value[of]))
        # All rows ask at once: (1, kept heads, rows × heads of each, size).
        asked = query[of].view(prompt.rows, kept, -1, size).transpose(0, 1).reshape(1, kept, -1, size)
        found = scaled_dot_product_attention(
            asked, keys, values, attn_mask=prompt.bias[None, None], scale=scaling
        )
        outputs.append(found.view(kept, prompt.rows, -1, size).transpose(0, 1))
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output.reshape(-1, 1, heads, size), None


AttentionInterface.register(_NAME, _attend)
