"""Supervised rows that share what their prompts begin with: the steps of one trajectory."""

import types
from typing import Any

import torch
from trl.trainer.utils import FusedCausalLMOutput

from srl_agent.prefix_sharing.logprobs import padded
from srl_agent.prefix_sharing.prefix_tree import Row, build_trees, count_calls, count_tokens

# What a call costs beside its tokens, in tokens: it reads all weights, and writes a gradient of each.
CALL = 256


def add_shared_labels(model: Any) -> None:
    """Let ``model(input_ids=…, labels=…, fused_lm_head=True)`` forward once what rows have in common.

    ``model`` has :func:`srl_agent.prefix_sharing.logprobs.add_shared_prefix`. Rows whose sharing would not pay, and
    labels with gaps, go the plain way.
    """
    plain_forward = model.forward

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        rows = None
        if kwargs.get("fused_lm_head") and not args and kwargs.get("attention_mask") is not None:
            rows = rows_of_labels(kwargs["input_ids"], kwargs["attention_mask"], kwargs["labels"])
        if rows is None or not is_worth_it(rows):
            return plain_forward(*args, **kwargs)
        scores = plain_forward(shared_rows=rows)
        mask = kwargs["labels"][:, 1:] != -100
        log_probs, entropy, is_top1 = (padded(part, mask) for part in zip(*scores, strict=True))
        return FusedCausalLMOutput(
            loss=-log_probs.sum() / mask.sum().clamp(min=1),
            log_probs=log_probs,
            entropy=entropy,
            is_top1=is_top1,
            label_mask=mask,
        )

    model.forward = types.MethodType(forward, model)


def rows_of_labels(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor
) -> list[Row] | None:
    """Rows of a batch, (B, L) padded anywhere: what has no label is prompt; None where a label stands in a prompt."""
    rows = []
    for ids, seen, wanted in zip(input_ids, attention_mask.bool(), labels != -100, strict=True):
        tokens, is_label = ids[seen].tolist(), wanted[seen].tolist()
        start = is_label.index(True) if True in is_label else len(tokens)
        if start == 0 or not all(is_label[start:]) or int(wanted.sum()) != len(tokens) - start:
            return None
        rows.append(Row(prompt=tokens[:start], completion=tokens[start:]))
    return rows


def is_worth_it(rows: list[Row]) -> bool:
    """Whether sharing saves more tokens than its calls cost; the plain way is one call."""
    trees = build_trees(rows)
    unique, whole = count_tokens(trees, rows)
    return whole - unique > CALL * (count_calls(trees) - 1)
