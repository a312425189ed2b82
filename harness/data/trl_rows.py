"""Steps as rows for other trainers: TRL's ``prompt`` and ``completion``, the same as in our own stages."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from harness.config.tables import Recipe
from harness.data.step_data import make_format, step_settings
from srl_agent.formats import ActionFormat
from srl_agent.steps import StepExample, StepSettings, render_example, select_steps
from trajectories import Trajectory
from trajectories.types import JSON
from trajectories.writers import Writer


def prompt_completion(recipe: Recipe, store: Path | None = None) -> Writer:
    """Return a writer of the rows of the recipe's SFT stage, before any split or selection. Raises UserError.

    ``store``: the store that is written as rows, whose tools ``actions.tools: auto`` lists.
    """
    settings, action_format = step_settings(recipe), make_format(recipe, store)

    def write(trajectory: Trajectory, left_out: Counter[str]) -> Iterator[Mapping[str, JSON]]:
        refs, reasons = select_steps([trajectory], settings=settings, action_format=action_format)
        left_out.update(reasons)
        if not settings.include_last_step and any(step.actions for step in trajectory.steps):
            left_out["last step (steps.include_last_step)"] += 1
        for ref in refs:
            example = render_example(trajectory, ref.step, settings=settings, action_format=action_format)
            completion = step_completion(example, action_format, settings)
            yield {
                "prompt": example.prompt,
                "completion": [{"role": "assistant", "content": completion}],
                "trajectory_id": example.trajectory_id,
                "step_index": example.step_index,
            }

    return write


def step_completion(example: StepExample, action_format: ActionFormat, settings: StepSettings) -> str:
    """Render the expert's step as a completion, with its thought or the filler. Raises UnrepresentableActionError."""
    thought = action_format.expert_thought(example.expert) if settings.thoughts == "expert" else None
    return action_format.render(replace(example.expert, thought=thought or settings.filler))
