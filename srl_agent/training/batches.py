"""Batches of GRPO: the order of their rows, their micro-batches, and which settings of them can be kept."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler
from trl import GRPOConfig
from trl.trainer.utils import split_tensor_dict


class EpochSampler(Sampler[int]):
    """TRL's repetitions of rows, over an order that belongs to the epoch; ``Trainer`` sets it."""

    def __init__(self, repeats: Any, order: Callable[[int], list[int]]) -> None:
        self._repeats = repeats
        self._order = order
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rows = self._order(self._epoch)
        return (rows[place] for place in self._repeats)

    def __len__(self) -> int:
        return len(self._repeats)


def as_generated(batches: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Micro-batches that were cut from mixed rows, cut again in the order in which the rows were generated."""
    order = torch.cat([batch["row"] for batch in batches]).argsort()
    whole = {}
    for key, value in batches[0].items():
        if isinstance(value, torch.Tensor) and value.ndim:
            whole[key] = torch.cat([batch[key] for batch in batches])[order]
        elif isinstance(value, list):
            mixed = [item for batch in batches for item in batch[key]]
            whole[key] = [mixed[place] for place in order.tolist()]
        else:
            whole[key] = value
    cut: list[dict[str, Any]] = split_tensor_dict(whole, len(batches))
    return cut


def check_together(steps: int, args: GRPOConfig) -> None:
    """Raises ValueError where a batch does not hold whole blocks of steps of one trajectory."""
    groups = args.generation_batch_size // args.num_generations
    if groups % steps:
        raise ValueError(f"a batch has {groups} groups, which steps_per_trajectory ({steps}) does not divide")


def check_boundaries(args: GRPOConfig) -> None:
    """Checkpoints must fall where a generation batch is used up: TRL does not save the batch in use."""
    updates, rest = divmod(args.steps_per_generation * args.num_iterations, args.gradient_accumulation_steps)
    if rest and (args.gradient_accumulation_steps % (args.steps_per_generation * args.num_iterations)):
        raise ValueError(
            f"steps_per_generation × num_iterations ({args.steps_per_generation} × {args.num_iterations}) and "
            f"gradient_accumulation_steps ({args.gradient_accumulation_steps}) do not divide one another: "
            "no checkpoint could be resumed exactly"
        )
    if args.save_strategy == "steps" and updates > 1 and args.save_steps % updates:
        raise ValueError(
            f"save_steps ({args.save_steps:g}) must be a multiple of {updates}, the updates made from one "
            "generation batch: a checkpoint inside it could not be resumed exactly"
        )
