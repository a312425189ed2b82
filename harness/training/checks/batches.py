"""Do the batches fit the data, so that a stage makes updates?"""

from collections.abc import Iterator

from transformers import TrainingArguments
from trl import GRPOConfig

from harness.config.stages import CONTROL, Stage
from harness.training.checks.base import Finding, Subject, error, note
from srl_agent.rewards import REWARDS


def check_batches(subject: Subject) -> Iterator[Finding]:
    """Compare the rows of each stage with its batch, and say how many updates it makes."""
    for stage, arguments in subject.arguments.items():
        rows = subject.rows.get(stage)
        if rows is None:
            continue
        if isinstance(arguments, GRPOConfig):
            yield from _groups(stage, arguments, rows, subject.processes)
        elif stage != CONTROL:  # its length is that of RL
            batch = arguments.per_device_train_batch_size * arguments.gradient_accumulation_steps
            batch *= subject.processes or 1
            updates = max(rows // batch, 1)
            yield note(
                f"{stage}: {rows:,} rows, {batch:,} a batch{_processes(subject.processes)}: "
                f"{_updates(arguments, updates)}"
            )


def _groups(stage: Stage, arguments: GRPOConfig, rows: int, processes: int | None) -> Iterator[Finding]:
    """Say what a batch of groups is. TRL leaves out a last batch that is not full, and with it all of a small set."""
    assert arguments.generation_batch_size is not None
    assert arguments.steps_per_generation is not None
    groups = arguments.generation_batch_size // arguments.num_generations
    what = "verified tasks" if stage == "rlvr" else "training steps"
    sizes = (
        f"{groups:,} groups of {arguments.num_generations} completions (per_device_train_batch_size "
        f"{arguments.per_device_train_batch_size} x steps_per_generation {arguments.steps_per_generation}"
        f"{_processes(processes)})"
    )
    if rows < groups:
        yield error(
            f"{stage}: {rows} {what} are fewer than a batch of {sizes}: not one update would be made; lower "
            f"{stage}.trl.steps_per_generation, gradient_accumulation_steps or per_device_train_batch_size, or give "
            "more data"
        )
        return
    made = arguments.steps_per_generation * arguments.num_iterations / arguments.gradient_accumulation_steps
    most = (
        "" if processes else f"; at most {rows // groups:,} processes, each with as many, find a full batch"
    )
    yield note(
        f"{stage}: {rows:,} {what}, a batch has {sizes}: {_updates(arguments, int(rows // groups * made))}{most}"
    )


def _processes(processes: int | None) -> str:
    if processes is None:
        return ", on one process, times N on N"
    return f" x {processes} processes" if processes > 1 else ""


def _updates(arguments: TrainingArguments, an_epoch: int) -> str:
    if arguments.max_steps > 0:
        return f"{arguments.max_steps:,} updates, {arguments.max_steps / max(an_epoch, 1):.2g} epochs"
    return f"{an_epoch:,} updates an epoch, {arguments.num_train_epochs:g} epochs"


def check_sampling(subject: Subject) -> Iterator[Finding]:
    """Refuse a threshold of dynamic sampling that no group of the built-in rewards can reach."""
    recipe = subject.recipe
    # A reward is between −1 and 1, so that its standard deviation is at most 1; that of a verified answer is 0.5.
    srl = sum(abs(table.weight) for table in recipe.rewards)
    largest = {"srl": srl if all(table.name in REWARDS for table in recipe.rewards) else None, "rlvr": 0.5}
    for stage in recipe.stages:
        limit = largest.get(stage)
        if limit is not None and (epsilon := getattr(recipe, stage).sampling.epsilon) >= limit:
            yield error(
                f"{stage}.sampling.epsilon is {epsilon:g}, and the standard deviation of a group's rewards is at most "
                f"{limit:g}: every group would be dropped; lower it, e.g. to 0.001"
            )
