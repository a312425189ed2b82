"""What generates text: a server, a model in this process, or a script."""

from collections.abc import Mapping
from typing import Any

from srl_agent.generation.types import Completion, Sampling
from srl_agent.plugins import load_named, load_path, make
from srl_agent.policies.base import ContextOverflowError, Policy, PolicyError

# By name, imported when one is made: each comes with its library.
POLICIES: Mapping[str, str] = {
    "endpoint": "srl_agent.policies.endpoint:EndpointPolicy",
    "transformers": "srl_agent.policies.local:TransformersPolicy",
    "vllm": "srl_agent.policies.vllm_local:VLLMPolicy",
}


def make_policy(name: str, settings: Mapping[str, Any]) -> Policy:
    """A policy by name, or by ``package.module:Class``; ``settings`` are its constructor's keywords.

    Raises PluginError, and what the constructor raises: PolicyError, ModelError.
    """
    found = load_named(name, POLICIES, kind="policy")
    part = load_path(found, kind="policy") if isinstance(found, str) else found
    policy: Policy = make(part, settings, offered={}, what=f"policy {name}")
    return policy


__all__ = [
    "POLICIES",
    "Completion",
    "ContextOverflowError",
    "Policy",
    "PolicyError",
    "Sampling",
    "make_policy",
]
