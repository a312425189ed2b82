"""Log-probabilities of completions with every shared prefix computed once, at equal loss and gradient.

The rows of a batch become one sequence in which each shared prefix is once
(:mod:`srl_agent.prefix_sharing.prefix_tree`), and one call of the model, whatever the rows are. So whatever wraps the
model or its layers works as for plain rows: PEFT, DDP, gradient checkpointing, and weights that are split over
processes, which each layer gathers (FSDP2, ZeRO-3).
"""

import logging
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import PreTrainedModel

from srl_agent.prefix_sharing.kv_cache import unsupported_reason, without_adapter
from srl_agent.prefix_sharing.prefix_tree import Row, pack_rows
from srl_agent.prefix_sharing.tree_attention import allow_packed_rows, packed_attention

logger = logging.getLogger(__name__)


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


class _FusedForward(Protocol):
    """The model's ``forward`` with TRL's fused LM head."""

    def __call__(self, *args: object, **kwargs: object) -> _FusedOutput: ...


class _Trainer(Protocol):
    """The part of a TRL trainer that :func:`prepare_sharing` reads."""

    aux_loss_enabled: bool


def prepare_sharing(trainer: _Trainer, *models: PreTrainedModel) -> bool:
    """Call :func:`add_shared_prefix` for the models of a TRL trainer; False, with a warning, if one cannot share."""
    bases = [without_adapter(model) for model in models]
    reasons = [reason for base in bases if (reason := unsupported_reason(base))]
    if trainer.aux_loss_enabled:
        reasons.append("its experts have a loss of their own")
    if reasons:
        logger.warning("every row is computed whole; this model cannot share prefixes: %s", reasons[0])
        return False
    for base in bases:
        add_shared_prefix(base)
    return True


def add_shared_prefix(model: PreTrainedModel) -> None:
    """Let ``model(shared_rows=rows)`` return the scores of rows; other calls return what they did.

    ``model`` already has TRL's fused LM head. Because this replaces ``forward``, it passes through what wraps a model
    (PEFT, DDP, FSDP2, DeepSpeed), and gradients are synchronised as usual.
    """
    fused_forward: _FusedForward = model.forward
    allow_packed_rows(model)

    def forward(
        self: PreTrainedModel, *args: object, shared_rows: Sequence[Row] | None = None, **kwargs: object
    ) -> object:
        with _frozen_embeddings(self):
            if shared_rows is None:
                return fused_forward(*args, **kwargs)
            return _score(self, fused_forward, shared_rows)

    model.forward = types.MethodType(forward, model)


def _score(model: PreTrainedModel, fused_forward: _FusedForward, rows: Sequence[Row]) -> list[Scores]:
    packed = pack_rows(rows)
    output = fused_forward(
        input_ids=torch.tensor([packed.tokens], device=model.device),
        position_ids=torch.tensor([packed.positions], device=model.device),
        shift_labels=torch.tensor([packed.labels], device=model.device),
        fused_lm_head=True,
        **packed_attention(model, packed),
    )
    parts = [packed.completions[row] for row in range(len(rows))]
    entropy, is_top1 = output.entropy, output.is_top1
    return [
        Scores(
            log_probs=output.log_probs[0, part],
            entropy=None if entropy is None else entropy[0, part],
            is_top1=None if is_top1 is None else is_top1[0, part],
        )
        for part in parts
    ]


def padded(values: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Return a tensor of the shape of ``mask``: the values of each row where its mask is set, zeros elsewhere."""
    flat = torch.cat(list(values))
    return flat.new_zeros(mask.shape).masked_scatter(mask, flat)


@contextmanager
def _frozen_embeddings(model: PreTrainedModel) -> Iterator[None]:
    """Compute no gradient of frozen embeddings, nor of the layers below the first trained one.

    With gradient checkpointing transformers lets the embeddings require one, which only reentrant checkpoints need.
    """
    embeddings = model.get_input_embeddings()
    is_trained = any(weight.requires_grad for weight in embeddings.parameters())
    if not torch.is_grad_enabled() or is_trained or _has_reentrant_checkpoints(model):
        yield
        return
    hook = embeddings.register_forward_hook(lambda *call: call[-1].detach())
    try:
        yield
    finally:
        hook.remove()


def _has_reentrant_checkpoints(model: PreTrainedModel) -> bool:
    layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    functions = [getattr(layer, "_gradient_checkpointing_func", None) for layer in layers]
    # As transformers makes them: partial(checkpoint, use_reentrant=…)
    return any(getattr(function, "keywords", {}).get("use_reentrant", True) for function in functions)
