"""Parts by name: a short built-in name, or ``package.module:attribute`` for anybody's own."""

import importlib
from collections.abc import Mapping
from typing import Any


class PluginError(ValueError):
    """A name that is neither built in nor importable; the message lists the built-in names."""


def load_named(name: str, built_in: Mapping[str, Any], *, kind: str) -> Any:
    """Look ``name`` up, or import it if it reads ``package.module:attribute``. Raises PluginError."""
    if name in built_in:
        return built_in[name]
    module_name, colon, attribute = name.partition(":")
    if not colon:
        known = ", ".join(built_in)
        raise PluginError(f"unknown {kind} {name!r}: use one of {known}, or package.module:attribute")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{kind} {name!r} cannot be imported: {error}") from error
