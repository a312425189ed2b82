"""The shared record: types, readers, ledger, store. Imports nothing of the other packages."""

from trajectories.task_ids import repository_of, task_id
from trajectories.types import Action, Step, Trajectory

__all__ = ["Action", "Step", "Trajectory", "repository_of", "task_id"]
