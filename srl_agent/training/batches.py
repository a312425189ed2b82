"""GRPO batches: the order of their rows, their micro-batches, and checks of the settings that shape them."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, Protocol

import torch
from torch.utils.data import Sampler
from trl import GRPOConfig
from trl.trainer.utils import split_tensor_dict

from srl_agent.training.row_order import shuffled_rows

# As TRL's, by name: tensors with one row per completion, (B, …), scalars, and lists of B values.
Batch = dict[str, Any]


class _Indices(Sized, Iterable[int], Protocol):
    """A range, or TRL's sampler."""


class EpochSampler(Sampler[int]):
    """TRL's repetitions of rows, in an order that depends on the epoch, which ``Trainer`` sets."""

    def __init__(self, repeats: _Indices, order: Callable[[int], list[int]]) -> None:
        self._repeats = repeats
        self._order = order
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        rows = self._order(self._epoch)
        return (rows[index] for index in self._repeats)

    def __len__(self) -> int:
        return len(self._repeats)


def epoch_order(trajectories: Sequence[str], together: int, seed: int) -> list[int]:
    """Return a random order of all rows, as ``shuffled_rows`` makes it, drawn with torch's generator."""
    generator = torch.Generator().manual_seed(seed)
    return shuffled_rows(trajectories, together, lambda n: torch.randperm(n, generator=generator).tolist())


def as_generated(batches: Sequence[Batch]) -> list[Batch]:
    """Split the rows of shuffled micro-batches again, in the order in which they were generated."""
    order = torch.cat([batch["row"] for batch in batches]).argsort()
    whole: Batch = {}
    for key, value in batches[0].items():
        if isinstance(value, torch.Tensor) and value.ndim:
            whole[key] = torch.cat([batch[key] for batch in batches])[order]
        elif isinstance(value, list):
            mixed = [item for batch in batches for item in batch[key]]
            whole[key] = [mixed[index] for index in order.tolist()]
        else:
            whole[key] = value
    micro_batches: list[Batch] = split_tensor_dict(whole, len(batches))
    return micro_batches


def check_together(steps: int, args: GRPOConfig) -> None:
    """Raise ValueError if a batch cannot hold whole blocks of ``steps`` steps of one trajectory."""
    groups = args.generation_batch_size // args.num_generations
    if groups % steps:
        raise ValueError(f"a batch has {groups} groups, which steps_per_trajectory ({steps}) does not divide")


def check_boundaries(args: GRPOConfig) -> None:
    """Raise ValueError if a checkpoint could fall inside a generation batch, which TRL does not save."""
    updates, rest = divmod(args.steps_per_generation * args.num_iterations, args.gradient_accumulation_steps)
    if rest and (args.gradient_accumulation_steps % (args.steps_per_generation * args.num_iterations)):
        raise ValueError(
            f"steps_per_generation × num_iterations ({args.steps_per_generation} × {args.num_iterations}) and "
            f"gradient_accumulation_steps ({args.gradient_accumulation_steps}) do not divide one another: "
            "no checkpoint could be resumed exactly"
        )
    # The best validation is saved, too.
    for name, strategy in (("save_steps", args.save_strategy), ("eval_steps", args.eval_strategy)):
        steps = getattr(args, name)
        if strategy == "steps" and updates > 1 and steps is not None and steps % updates:
            raise ValueError(
                f"{name} ({steps:g}) must be a multiple of {updates}, the updates made from one "
                "generation batch: a checkpoint inside it could not be resumed exactly"
            )


def check_rows(rows: int, args: GRPOConfig) -> None:
    """Raise ValueError if there are fewer rows than groups in a batch: TRL would make no update."""
    groups = args.generation_batch_size // args.num_generations
    if rows < groups:
        raise ValueError(
            f"a batch has {groups} groups, and there are {rows} rows to train on: lower per_device_train_batch_size "
            "or steps_per_generation"
        )
