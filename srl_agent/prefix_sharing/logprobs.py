"""Log-probabilities of completions with every shared prefix computed once, at equal loss and gradient.

A tree of prompts (:mod:`srl_agent.prefix_sharing.prefix_tree`) is a few paths: its trunk, and branches. Each path is
one call over the KV cache of its ancestors, which carries their gradients. The completions along it follow in packed
rows; each attends to its prompt and to itself. With gradient checkpointing a call has few tokens and is recomputed in
the backward pass: memory then holds the keys and values of all tokens, and the activations of one call.
"""

import logging
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

from srl_agent.prefix_sharing.kv_cache import (
    KVCache,
    as_dynamic_cache,
    forward_tokens,
    truncate,
    unsupported_reason,
    without_adapter,
)
from srl_agent.prefix_sharing.packed_attention import Packing, use_packed_attention
from srl_agent.prefix_sharing.prefix_tree import Node, Row, build_trees

# Tokens in a call. On a CPU the attention of packed completions is dense in them; a GPU waits between small kernels.
_TOKENS_PER_CALL = {"cpu": 1024}
_TOKENS_PER_CALL_ELSEWHERE = 4096

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Scores(NamedTuple):
    """Scores of a completion's T tokens, (T,) each; None where the fused LM head was not asked for them."""

    log_probs: Tensor
    entropy: Tensor | None = None
    is_top1: Tensor | None = None  # True where no token is more likely


class _FusedOutput(Protocol):
    """Output of TRL's fused LM head, (1, T) each."""

    log_probs: Tensor
    entropy: Tensor | None
    is_top1: Tensor | None


class _Trainer(Protocol):
    """The part of a TRL trainer that :func:`prepare_sharing` reads."""

    aux_loss_enabled: bool
    is_fsdp_enabled: bool


def prepare_sharing(trainer: _Trainer, *models: PreTrainedModel, tokens_per_call: int | None = None) -> bool:
    """Call :func:`add_shared_prefix` for the models of a TRL trainer; False, with a warning, if one cannot share."""
    bases = [without_adapter(model) for model in models]
    reasons = [reason for base in bases if (reason := unsupported_reason(base))]
    if trainer.aux_loss_enabled:
        reasons.append("its experts have a loss of their own")
    if trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled():
        # Each call of a layer gathers its weights, and processes with other rows make another number of calls.
        reasons.append("its weights are split over the processes")
    if reasons:
        logger.warning("every row is computed whole; this model cannot share prefixes: %s", reasons[0])
        return False
    for base in bases:
        add_shared_prefix(base, tokens_per_call=tokens_per_call)
    return True


def add_shared_prefix(model: PreTrainedModel, *, tokens_per_call: int | None = None) -> None:
    """Let ``model(shared_rows=rows)`` return the scores of rows; without that argument nothing changes.

    ``model`` already has TRL's fused LM head. Because this replaces ``forward``, it passes through what wraps a model
    (PEFT, DDP), and gradients are synchronised as usual.
    """
    fused_forward = model.forward

    def forward(
        self: PreTrainedModel, *args: object, shared_rows: Sequence[Row] | None = None, **kwargs: object
    ) -> object:
        if shared_rows is None:
            return fused_forward(*args, **kwargs)
        return _Scorer(self, fused_forward, shared_rows, tokens_per_call).score()

    model.forward = types.MethodType(forward, model)


class _Scorer:
    """Scores the rows of one batch. KV caches are lists of pieces here, concatenated for each call."""

    def __init__(
        self,
        model: PreTrainedModel,
        forward: Callable[..., _FusedOutput],
        rows: Sequence[Row],
        tokens_per_call: int | None,
    ) -> None:
        self._model = model
        self._forward = forward  # with the fused LM head
        self._rows = rows
        usual = _TOKENS_PER_CALL.get(model.device.type, _TOKENS_PER_CALL_ELSEWHERE)
        self._size = usual if tokens_per_call is None else tokens_per_call
        self._recomputes = torch.is_grad_enabled() and model.training and model.is_gradient_checkpointing
        empty = torch.zeros(0, device=model.device)
        self._scores: dict[int, Scores] = {
            i: Scores(empty, empty, empty.bool()) for i, row in enumerate(rows) if not row.completion
        }

    def score(self) -> list[Scores]:
        for tree in build_trees(self._rows):
            self._visit(tree, [])
        return [self._scores[index] for index in range(len(self._rows))]

    def _visit(self, node: Node, prefix_kv: list[KVCache]) -> None:
        """Score all rows under a node; ``prefix_kv``: the cache of all tokens before it."""
        path = node.trunk()
        path_kv = self._forward_path([token for part in path for token in part.tokens], prefix_kv)
        ends = {index: part.end for part in path for index in part.rows if self._rows[index].completion}
        sizes = [(index, len(self._rows[index].suffix_tokens)) for index in ends]
        for chunk in _chunks(sizes, self._size):
            length = max(ends[index] for index in chunk)
            chunk_ends = {index: ends[index] for index in chunk}
            call = partial(self._score_completions, chunk_ends, length, _truncate(path_kv, length))
            self._scores |= self._call(call)
        for part in path:
            for child in part.children:
                if child not in path:
                    self._visit(child, _truncate(path_kv, part.end))

    def _forward_path(self, tokens: list[int], prefix_kv: list[KVCache]) -> list[KVCache]:
        if not self._recomputes:
            return [forward_tokens(self._model, tokens, _concatenate(prefix_kv))] if tokens else prefix_kv
        pieces = list(prefix_kv)
        for start in range(0, len(tokens), self._size):
            part = tokens[start : start + self._size]
            pieces.append(self._call(partial(self._extend, part, list(pieces))))
        return pieces

    def _extend(self, tokens: list[int], prefix_kv: list[KVCache]) -> KVCache:
        """Return the cache of these tokens alone, copied out of the model's, which starts with the prefix."""
        kv_cache = forward_tokens(self._model, tokens, _concatenate(prefix_kv))
        count = len(tokens)
        return [(key[:, :, -count:].clone(), value[:, :, -count:].clone()) for key, value in kv_cache]

    def _call(self, function: Callable[[], T]) -> T:
        """Call the model; where gradients are recomputed, only the result stays in memory."""
        if not self._recomputes:
            return function()

        def call() -> T:
            with _recomputed_as_one(self._model):
                return function()

        result: T = checkpoint(call, use_reentrant=False)
        return result

    def _score_completions(
        self, ends: Mapping[int, int], length: int, path_kv: list[KVCache]
    ) -> dict[int, Scores]:
        """Score rows whose prompts end at ``ends`` of a path: their completions, packed, over its first tokens."""
        model, rows = self._model, [self._rows[index] for index in ends]
        prompts, sizes = list(ends.values()), [len(row.suffix_tokens) for row in rows]
        positions = [start + i for start, size in zip(prompts, sizes, strict=True) for i in range(size)]
        tokens = [token for row in rows for token in row.suffix_tokens]
        packing = Packing(prompt_lengths=prompts, completion_lengths=sizes, cached=length)
        with use_packed_attention(model, packing) as attention:
            output = self._forward(
                input_ids=torch.tensor([tokens], device=model.device),
                **attention,
                position_ids=torch.tensor([positions], device=model.device),
                past_key_values=as_dynamic_cache(_concatenate(path_kv), model) if length else None,
                shift_labels=torch.tensor([[t for row in rows for t in row.completion]], device=model.device),
                fused_lm_head=True,
            )
        fields = (output.log_probs, output.entropy, output.is_top1)
        by_row = [[None] * len(sizes) if field is None else field[0].split(sizes) for field in fields]
        return dict(zip(ends, map(Scores, *by_row), strict=True))


def padded(values: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return a tensor of the shape of ``mask``: the values of each row where its mask is set, zeros elsewhere."""
    flat = torch.cat(list(values))
    return flat.new_zeros(mask.shape).masked_scatter(mask, flat)


def _chunks(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Yield rows, given as (index, tokens), in chunks of at most ``most`` tokens, or of one row."""
    chunk: list[int] = []
    total = 0
    for index, size in sizes:
        if chunk and total + size > most:
            yield chunk
            chunk, total = [], 0
        chunk.append(index)
        total += size
    if chunk:
        yield chunk


def _truncate(pieces: Sequence[KVCache], length: int) -> list[KVCache]:
    """Return the pieces of the first ``length`` tokens, as views."""
    kept: list[KVCache] = []
    for piece in pieces:
        if length <= 0:
            break
        kept.append(truncate(piece, length))
        length -= piece[0][0].shape[2]
    return kept


def _concatenate(pieces: Sequence[KVCache]) -> KVCache:
    if len(pieces) < 2:
        return pieces[0] if pieces else []
    return [
        (torch.cat([key for key, _ in layer], dim=2), torch.cat([value for _, value in layer], dim=2))
        for layer in zip(*pieces, strict=True)
    ]


@contextmanager
def _recomputed_as_one(model: PreTrainedModel) -> Iterator[None]:
    """Turn off what serves layers that are recomputed one by one: here a whole call is.

    Such layers would not fill a cache. And transformers lets the embeddings require a gradient, which the layers below
    the first trained one would then compute for nothing.
    """
    layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    embeddings = model.get_input_embeddings()
    is_frozen = not any(weight.requires_grad for weight in embeddings.parameters())
    hook = embeddings.register_forward_hook(lambda *call: call[-1].detach()) if is_frozen else None
    _set_checkpointing(layers, False)
    try:
        yield
    finally:
        if hook:
            hook.remove()
        _set_checkpointing(layers, True)


def _set_checkpointing(layers: Sequence[nn.Module], value: bool) -> None:
    for layer in layers:
        layer.gradient_checkpointing = value  # type: ignore[assignment]
