"""Log-probabilities of completions with every shared prefix forwarded once, at equal loss and gradient.

A tree of prompts (:mod:`srl_agent.training.prefix_tree`) is a few paths: its trunk, and branches. Each path is
forwarded once over the keys and values above it, which carry their gradients; the completions along it follow in
packed rows, each seeing its prompt and itself. Where keys cannot be kept (gradient checkpointing) the tree is
forwarded as one packed row under a mask.
"""

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from srl_agent.training.kept_keys import Keys, cache_of, first, forward_path
from srl_agent.training.prefix_tree import Node, Row, build_trees

# Tokens of completions in a row: its attention is dense, but each row is a call, with the keys copied for it.
TEETH = 1024

Scores = tuple[torch.Tensor, torch.Tensor]  # log-probability and entropy of each token of a completion


def add_shared_prefix(model: Any) -> None:
    """Let ``model(shared_rows=rows)`` return the scores of rows; without that argument nothing changes.

    ``model`` has TRL's fused LM head already. As a forward of its own it passes through what wraps a model (PEFT,
    DDP, FSDP), so that gradients are synchronised as ever.
    """
    fused_forward = model.forward

    def forward(self: Any, *args: Any, shared_rows: Sequence[Row] | None = None, **kwargs: Any) -> Any:
        if shared_rows is None:
            return fused_forward(*args, **kwargs)
        return _score_rows(self, fused_forward, shared_rows)

    model.forward = types.MethodType(forward, model)


def _score_rows(model: Any, forward: Any, rows: Sequence[Row]) -> list[Scores]:
    scores: dict[int, Scores] = {}
    checkpointing = model.training and getattr(model, "is_gradient_checkpointing", False)
    for tree in build_trees(rows):
        if checkpointing:
            scores |= _packed(model, forward, tree, rows)
        else:
            scores |= _cached(model, forward, tree, [], rows)
    return [scores[index] for index in range(len(rows))]


# --- over kept keys ------------------------------------------------------------------------------------------


def _cached(model: Any, forward: Any, node: Node, above: Keys, rows: Sequence[Row]) -> dict[int, Scores]:
    """Scores of all rows under a node; ``above``: keys and values of all tokens before it."""
    path = node.trunk()
    keys = forward_path(model, path, above)
    scores: dict[int, Scores] = {}
    ends = {index: part.end for part in path for index in part.rows}
    for indices in _chunks([(index, len(rows[index].tooth)) for index in ends]):
        scores |= _teeth(model, forward, {index: ends[index] for index in indices}, keys, rows)
    for part in path:
        for child in part.children:
            if child not in path:
                scores |= _cached(model, forward, child, first(keys, part.end), rows)
    return scores


def _chunks(sizes: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Rows cut where a chunk would hold more than ``TEETH`` tokens."""
    chunk: list[int] = []
    total = 0
    for index, size in sizes:
        if chunk and total + size > TEETH:
            yield chunk
            chunk, total = [], 0
        chunk.append(index)
        total += size
    if chunk:
        yield chunk


def _teeth(
    model: Any, forward: Any, ends: Mapping[int, int], keys: Keys, rows: Sequence[Row]
) -> dict[int, Scores]:
    """Scores of rows whose prompts end at ``ends`` of a path: their completions in one row over the path's keys."""
    empty = torch.zeros(0, device=model.device)
    scores: dict[int, Scores] = {i: (empty, empty) for i in ends if not rows[i].completion}
    indices = [index for index in ends if rows[index].completion]
    if not indices:
        return scores
    teeth = [rows[index].tooth for index in indices]
    lengths = torch.tensor([len(tooth) for tooth in teeth])
    start = torch.tensor([ends[index] for index in indices]).repeat_interleave(lengths).to(model.device)
    owner = torch.arange(len(teeth)).repeat_interleave(lengths).to(model.device)
    offset = torch.cat([torch.arange(int(length)) for length in lengths]).to(model.device)
    seen = max(ends[index] for index in indices)
    own = (owner[:, None] == owner) & (offset[:, None] >= offset)
    allowed = torch.cat([torch.arange(seen, device=model.device) < start[:, None], own], dim=1)
    cache = cache_of(first(keys, seen), model) if seen else None
    return scores | _scored(model, forward, indices, rows, teeth, start + offset, allowed, cache)


def _scored(
    model: Any,
    forward: Any,
    indices: Sequence[int],
    rows: Sequence[Row],
    teeth: Sequence[list[int]],
    positions: torch.Tensor,
    allowed: torch.Tensor,
    cache: DynamicCache | None,
    before: Sequence[int] = (),
) -> dict[int, Scores]:
    """Forward ``before`` and the teeth as one row, and score the teeth."""
    tokens = [*before, *(token for tooth in teeth for token in tooth)]
    labels = [*[-100] * len(before), *(token for index in indices for token in rows[index].completion)]
    output = forward(
        input_ids=torch.tensor([tokens], device=model.device),
        attention_mask=_mask(allowed, model),
        position_ids=positions[None],
        past_key_values=cache,
        shift_labels=torch.tensor([labels], device=model.device),
        fused_lm_head=True,
    )
    sizes = [len(tooth) for tooth in teeth]
    log_probs = output.log_probs[0, len(before) :].split(sizes)
    entropies = (
        output.entropy[0, len(before) :].split(sizes)
        if output.entropy is not None
        else [t.detach() for t in log_probs]
    )
    return dict(zip(indices, zip(log_probs, entropies, strict=True), strict=True))


def _mask(allowed: torch.Tensor, model: Any) -> torch.Tensor:
    """What a query may see, (queries, keys), as the model's attention wants it."""
    if model.config._attn_implementation == "sdpa":
        return allowed[None, None]
    dtype = model.get_input_embeddings().weight.dtype
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)[None, None]


# --- in one row ------------------------------------------------------------------------------------------


def _packed(model: Any, forward: Any, tree: Node, rows: Sequence[Row]) -> dict[int, Scores]:
    """Scores of all rows of a tree from one forward: every token sees its own row's tokens before it."""
    tokens: list[int] = []
    positions: list[int] = []
    spans: list[tuple[int, int]] = []  # of each part, in the row
    parents: list[int] = []  # the part that a part follows, -1 for none
    above: dict[int, int] = {}  # part of a row's prompt

    def add(part: list[int], start: int, parent: int) -> int:
        spans.append((len(tokens), len(tokens) + len(part)))
        tokens.extend(part)
        positions.extend(range(start, start + len(part)))
        parents.append(parent)
        return len(spans) - 1

    def visit(node: Node, parent: int) -> None:
        part = add(node.tokens, node.start, parent)
        above.update(dict.fromkeys(node.rows, part))
        for child in node.children:
            visit(child, part)

    visit(tree, -1)
    ends = {index: node.end for node in tree.walk() for index in node.rows}
    before = list(tokens)
    indices = [index for index in above if rows[index].completion]
    for index in indices:
        add(rows[index].tooth, ends[index], above[index])
    empty = torch.zeros(0, device=model.device)
    scores: dict[int, Scores] = {i: (empty, empty) for i in above if not rows[i].completion}
    if not indices:
        return scores
    size = len(tokens)
    allowed = torch.zeros(size, size, dtype=torch.bool, device=model.device)
    for part, (start, end) in enumerate(spans):
        allowed[start:end, start:end] = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        parent = parents[part]
        while parent >= 0:
            allowed[start:end, slice(*spans[parent])] = True
            parent = parents[parent]
    teeth = [rows[index].tooth for index in indices]
    return scores | _scored(
        model,
        forward,
        indices,
        rows,
        teeth,
        torch.tensor(positions, device=model.device),
        allowed,
        None,
        before,
    )
