"""The shared record: types, readers, ledger, store. Imports nothing of the other packages."""

from trajectories.types import Action, Step, Trajectory, repository_of

__all__ = ["Action", "Step", "Trajectory", "repository_of"]
