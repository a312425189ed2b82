"""The paper's rule for target steps alone, as a check on the faster code."""

from srl_agent.steps import StepSettings
from trajectories import Trajectory


def target_indices(trajectory: Trajectory, settings: StepSettings) -> list[int]:
    """Return indices of the target steps, before any is skipped for its content."""
    acting = [index for index, step in enumerate(trajectory.steps) if step.actions]
    candidates = acting if settings.include_last_step else acting[:-1]
    return [index for index in candidates if trajectory.steps[index].target]
