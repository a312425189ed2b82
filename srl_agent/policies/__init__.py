"""Policies, which generate text: a server, a model in this process, or a script."""

from collections.abc import Mapping

from srl_agent.generation.types import Completion, Sampling
from srl_agent.plugins import load_part, make
from srl_agent.policies.base import ContextOverflowError, Policy, PolicyError

# By name, imported when one is made: each needs its own library.
POLICIES: Mapping[str, str] = {
    "endpoint": "srl_agent.policies.endpoint:EndpointPolicy",
    "transformers": "srl_agent.policies.local:TransformersPolicy",
    "vllm": "srl_agent.policies.vllm_local:VLLMPolicy",
}


def make_policy(name: str, settings: Mapping[str, object]) -> Policy:
    """Make a policy by name or ``package.module:Class``. Raises PluginError, and its constructor's own errors."""
    part = load_part(name, POLICIES, kind="policy")
    policy: Policy = make(part, settings, offered={}, what=f"policy {name}")
    return policy


__all__ = [
    "POLICIES", "Completion", "ContextOverflowError", "Policy", "PolicyError", "Sampling", "make_policy",
]  # fmt: skip
