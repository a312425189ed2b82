"""Share prompt prefixes between supervised rows: the steps of one trajectory."""

import types
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from srl_agent.prefix_sharing.logprobs import padded
from srl_agent.prefix_sharing.prefix_tree import SHORTEST, Row, build_trees, count_tokens


def add_shared_labels(model: PreTrainedModel) -> None:
    """Compute shared prefixes once in ``model(input_ids=…, labels=…, fused_lm_head=True)``.

    ``model`` has :func:`srl_agent.prefix_sharing.logprobs.add_shared_prefix`. Batches that share nothing, and labels
    with gaps, are computed as before.
    """
    plain_forward = model.forward

    def forward(self: PreTrainedModel, *args: object, **kwargs: Any) -> object:
        rows = None
        if kwargs.get("fused_lm_head") and not args and kwargs.get("attention_mask") is not None:
            rows = rows_from_labels(kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"])
        if rows is None or not sharing_pays(rows):
            return plain_forward(*args, **kwargs)
        scores = plain_forward(shared_rows=rows)
        mask = kwargs["labels"][:, 1:] != -100
        log_probs, entropy, is_top1 = (padded(part, mask) for part in zip(*scores, strict=True))
        loss = -log_probs.sum() / mask.sum().clamp(min=1)
        return FusedCausalLMOutput(
            loss=loss, log_probs=log_probs, entropy=entropy, is_top1=is_top1, label_mask=mask
        )

    model.forward = types.MethodType(forward, model)


def rows_from_labels(input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> list[Row] | None:
    """Return the rows of a batch, (B, L) each; tokens without a label are the prompt. None for a label inside it."""
    rows = []
    for ids, seen, wanted in zip(input_ids, attention_mask.bool(), labels != -100, strict=True):
        tokens, is_label = ids[seen].tolist(), wanted[seen].tolist()
        start = is_label.index(True) if True in is_label else len(tokens)
        if start == 0 or not all(is_label[start:]) or int(wanted.sum()) != len(tokens) - start:
            return None
        rows.append(Row(prompt=tokens[:start], completion=tokens[start:]))
    return rows


def sharing_pays(rows: list[Row]) -> bool:
    """Return whether rows share a prefix."""
    unique, whole = count_tokens(build_trees(rows), rows)
    return whole - unique >= SHORTEST + len(rows)  # a row's last token is computed only without sharing
