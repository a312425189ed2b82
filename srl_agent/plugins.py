"""Parts by name: a short built-in name, or ``package.module:attribute`` for anybody's own."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

_EXTRAS = {"minisweagent": "mini-swe-agent", "vllm": "vllm"}  # our extra that brings a module


class PluginError(ValueError):
    """A name that is neither built in nor importable, or settings that its part does not take.

    The message lists the names, or the settings.
    """


def load_named(name: str, built_in: Mapping[str, Any], *, kind: str) -> Any:
    """Look ``name`` up, or import it if it reads ``package.module:attribute``. Raises PluginError."""
    if name in built_in:
        return built_in[name]
    if ":" not in name:
        known = ", ".join(built_in)
        raise PluginError(f"unknown {kind} {name!r}: use one of {known}, or package.module:attribute")
    return load_path(name, kind=kind)


def load_path(path: str, *, kind: str) -> Any:
    """Import ``package.module:attribute``. Raises PluginError."""
    module_name, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        extra = _EXTRAS.get(error.name or "") if isinstance(error, ImportError) else None
        advice = f"; pip install 'srl-agent[{extra}]'" if extra else ""
        raise PluginError(f"{kind} {path!r} cannot be imported: {error}{advice}") from error


def installed_plugins(group: str) -> dict[str, str]:
    """``package.module:attribute`` by name, of an entry-point group of the installed packages."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def make(
    part: Callable[..., Any], settings: Mapping[str, Any], *, offered: Mapping[str, Any], what: str
) -> Any:
    """Call ``part`` with its settings, and with what is ``offered`` as far as it has a parameter of that name.

    Settings win over what is offered. Raises PluginError for settings that it does not take or lacks.
    """
    parameters = inspect.signature(part).parameters
    named = {name for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {**{name: value for name, value in offered.items() if name in named}, **settings}
    required = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    takes = f"it takes {', '.join(sorted(named)) or 'none'}"
    if unknown := sorted(given.keys() - named) if not takes_any else []:
        raise PluginError(f"{what} has no setting {', '.join(unknown)}: {takes}")
    if missing := sorted(required - given.keys()):
        raise PluginError(f"{what} needs the setting {', '.join(missing)}: {takes}")
    return part(**given)
