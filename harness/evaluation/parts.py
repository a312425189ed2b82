"""Policies and scaffolds that a recipe names."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.cli import UsageError, UserError
from srl_agent.models.packaged import ModelError
from srl_agent.policies import PolicyError


@contextmanager
def as_user_errors() -> Iterator[None]:
    """Raise UserError where a part does not exist, does not take its settings, or cannot be had."""
    try:
        yield
    except (PolicyError, ModelError) as error:
        raise UserError(f"policy: {error}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error
