"""What generates text: a server, a model in this process, or a script."""

from srl_agent.policies.base import Completion, ContextOverflowError, Policy, PolicyError, Sampling

__all__ = ["Completion", "ContextOverflowError", "Policy", "PolicyError", "Sampling"]
