"""Log-probabilities of completions with every shared prefix forwarded once, at equal loss and gradient.

A tree of prompts (:mod:`srl_agent.prefix_sharing.prefix_tree`) is a few paths: its trunk, and branches. Each path is
forwarded once over the keys and values above it, which carry their gradients; the completions along it follow in
packed rows, each seeing its prompt and itself. With gradient checkpointing every call is of few tokens, and is made
again in the backward pass: then memory holds the keys of all tokens, and all else of one call.
"""

import logging
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
from torch.utils.checkpoint import checkpoint
from transformers.integrations import is_deepspeed_zero3_enabled

from srl_agent.prefix_sharing.kv_cache import Keys, cache_of, first, forward_tokens, why_not
from srl_agent.prefix_sharing.packed_attention import Packing, use_packed_attention
from srl_agent.prefix_sharing.prefix_tree import Node, Row, build_trees

# Tokens in a call. On a CPU the attention of packed completions is dense in them; a GPU waits between small kernels.
_TOKENS_PER_CALL = {"cpu": 1024}
_TOKENS_PER_CALL_ELSEWHERE = 4096

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Scores(NamedTuple):
    """Of each token of a completion, (T,); None is what the fused LM head was not asked for."""

    log_probs: torch.Tensor
    entropy: torch.Tensor | None = None
    is_top1: torch.Tensor | None = None  # whether no token is likelier


def prepare_sharing(trainer: Any, *models: Any, tokens_per_call: int | None = None) -> bool:
    """:func:`add_shared_prefix` for the models of a TRL trainer; False, with a line in the log, where it cannot be."""
    bases = [model.get_base_model() if hasattr(model, "get_base_model") else model for model in models]
    reasons = [reason for base in bases if (reason := why_not(base))]
    if trainer.aux_loss_enabled:
        reasons.append("its experts have a loss of their own")
    if trainer.is_fsdp_enabled or is_deepspeed_zero3_enabled():
        # Each call of a layer gathers its weights, and processes with other rows make another number of calls.
        reasons.append("its weights are split over the processes")
    if reasons:
        logger.warning(
            "every row is forwarded whole, prompts are not shared: the model cannot, %s", reasons[0]
        )
        return False
    for base in bases:
        add_shared_prefix(base, tokens_per_call=tokens_per_call)
    return True


def add_shared_prefix(model: Any, *, tokens_per_call: int | None = None) -> None:
    """Let ``model(shared_rows=rows)`` return the scores of rows; without that argument nothing changes.

    ``model`` has TRL's fused LM head already. As a forward of its own it passes through what wraps a model (PEFT,
    DDP), so that gradients are synchronised as ever.
    """
    fused_forward = model.forward

    def forward(self: Any, *args: Any, shared_rows: Sequence[Row] | None = None, **kwargs: Any) -> Any:
        if shared_rows is None:
            return fused_forward(*args, **kwargs)
        return _Scorer(self, fused_forward, shared_rows, tokens_per_call).score()

    model.forward = types.MethodType(forward, model)


class _Scorer:
    """Scores the rows of one batch."""

    def __init__(self, model: Any, forward: Any, rows: Sequence[Row], tokens_per_call: int | None) -> None:
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

    def _visit(self, node: Node, above: list[Keys]) -> None:
        """Score all rows under a node; ``above``: keys of all tokens before it, in pieces."""
        path = node.trunk()
        kept = self._forward_path([token for part in path for token in part.tokens], above)
        ends = {index: part.end for part in path for index in part.rows if self._rows[index].completion}
        for chunk in _chunks([(index, len(self._rows[index].tooth)) for index in ends], self._size):
            seen = max(ends[index] for index in chunk)
            call = partial(self._teeth, {index: ends[index] for index in chunk}, seen, _cut(kept, seen))
            self._scores |= self._call(call)
        for part in path:
            for child in part.children:
                if child not in path:
                    self._visit(child, _cut(kept, part.end))

    def _forward_path(self, tokens: list[int], above: list[Keys]) -> list[Keys]:
        if not self._recomputes:
            return [forward_tokens(self._model, tokens, _joined(above))] if tokens else above
        kept = list(above)
        for start in range(0, len(tokens), self._size):
            kept.append(self._call(partial(self._new_keys, tokens[start : start + self._size], list(kept))))
        return kept

    def _new_keys(self, tokens: list[int], above: list[Keys]) -> Keys:
        """Keys of these tokens alone, copied out of those that the model has joined them to."""
        keys = forward_tokens(self._model, tokens, _joined(above))
        count = len(tokens)
        return [(key[:, :, -count:].clone(), value[:, :, -count:].clone()) for key, value in keys]

    def _call(self, function: Callable[[], T]) -> T:
        """A call of the model, of which nothing but its result is kept where gradients are recomputed."""
        if not self._recomputes:
            return function()

        def call() -> T:
            with _recomputed_as_one(self._model):
                return function()

        return checkpoint(call, use_reentrant=False)  # type: ignore[no-any-return]

    def _teeth(self, ends: Mapping[int, int], seen: int, kept: list[Keys]) -> dict[int, Scores]:
        """Scores of rows whose prompts end at ``ends`` of a path: their completions in one row over its keys."""
        model, rows = self._model, [self._rows[index] for index in ends]
        prompts, sizes = list(ends.values()), [len(row.tooth) for row in rows]
        positions = [
            start + place for start, size in zip(prompts, sizes, strict=True) for place in range(size)
        ]
        packing = Packing(prompts=prompts, completions=sizes, kept=seen)
        with use_packed_attention(model, packing) as attention:
            output = self._forward(
                input_ids=torch.tensor([[token for row in rows for token in row.tooth]], device=model.device),
                **attention,
                position_ids=torch.tensor([positions], device=model.device),
                past_key_values=cache_of(_joined(kept), model) if seen else None,
                shift_labels=torch.tensor([[t for row in rows for t in row.completion]], device=model.device),
                fused_lm_head=True,
            )
        fields = (output.log_probs, output.entropy, output.is_top1)
        by_row = [[None] * len(sizes) if field is None else field[0].split(sizes) for field in fields]
        return dict(zip(ends, map(Scores, *by_row), strict=True))


def padded(values: Sequence[torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    """The values of each row where its mask is, zeros elsewhere; shape of ``mask``."""
    flat = torch.cat(list(values))
    return flat.new_zeros(mask.shape).masked_scatter(mask, flat)


def _chunks(sizes: Sequence[tuple[int, int]], most: int) -> Iterator[list[int]]:
    """Rows cut where a chunk would hold more than so many tokens."""
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


def _cut(pieces: Sequence[Keys], length: int) -> list[Keys]:
    """The pieces up to so many tokens; nothing is copied."""
    cut: list[Keys] = []
    for piece in pieces:
        if length <= 0:
            break
        cut.append(first(piece, length))
        length -= piece[0][0].shape[2]
    return cut


def _joined(pieces: Sequence[Keys]) -> Keys:
    if len(pieces) < 2:
        return pieces[0] if pieces else []
    return [
        (torch.cat([key for key, _ in layer], dim=2), torch.cat([value for _, value in layer], dim=2))
        for layer in zip(*pieces, strict=True)
    ]


@contextmanager
def _recomputed_as_one(model: Any) -> Iterator[None]:
    """Turn off what is meant for layers that are recomputed one by one: here a whole call is.

    Such layers would not fill a cache. And transformers has the embeddings ask for a gradient, which the layers below
    the first one that is trained would then compute for nothing.
    """
    layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    embeddings = model.get_input_embeddings()
    is_frozen = not any(weight.requires_grad for weight in embeddings.parameters())
    hook = embeddings.register_forward_hook(lambda *call: call[-1].detach()) if is_frozen else None
    for layer in layers:
        layer.gradient_checkpointing = False
    try:
        yield
    finally:
        if hook:
            hook.remove()
        for layer in layers:
            layer.gradient_checkpointing = True
