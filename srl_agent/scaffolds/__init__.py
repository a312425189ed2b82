"""Control flows: how a policy works on a task in an environment."""

from srl_agent.scaffolds.base import Environment, Rollout, Scaffold, ScaffoldTask, Status

__all__ = ["Environment", "Rollout", "Scaffold", "ScaffoldTask", "Status"]
