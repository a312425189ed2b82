"""Targets of SFT: whole solutions only if each of their steps is a target."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

from harness.config.tables import SftTable
from harness.demo.math import solved_path
from harness.training.rows import WHOLE, sft_targets
from srl_agent.steps import StepRef
from trajectories.store import read_trajectories


def test_a_solution_with_a_context_only_step_is_no_target() -> None:
    first, second, *_ = read_trajectories(solved_path())
    marked = replace(second, steps=(*second.steps[:-1], replace(second.steps[-1], target=False)))
    data: Any = SimpleNamespace(
        train=(StepRef(trajectory=1, step=0),),
        train_trajectories=(0, 1),
        trajectory=[first, marked].__getitem__,
    )

    def chosen(*targets: Literal["steps", "solutions"]) -> tuple[StepRef, ...]:
        return sft_targets(SftTable(targets=targets), data)

    assert chosen("solutions") == (StepRef(trajectory=0, step=WHOLE),)
    assert chosen("steps") == data.train
