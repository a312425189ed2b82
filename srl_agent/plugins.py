"""Plug-ins by name: a short built-in name, or ``package.module:attribute``."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from srl_agent.typed_values import read_value

T = TypeVar("T")

_EXTRAS = {"minisweagent": "mini-swe-agent", "vllm": "vllm"}  # module -> our extra that installs it


class PluginError(ValueError):
    """A name that is neither built in nor importable, or settings that a plug-in refuses; the message lists both."""


def load_named(name: str, built_in: Mapping[str, T], *, kind: str) -> T:
    """Return the built-in, or import ``package.module:attribute``, trusted to be of its type. Raises PluginError."""
    if name in built_in:
        return built_in[name]
    if ":" not in name:
        known = ", ".join(built_in)
        raise PluginError(f"unknown {kind} {name!r}: use one of {known}, or package.module:attribute")
    imported: T = load_path(name, kind=kind)
    return imported


def load_part(name: str, paths: Mapping[str, str], *, kind: str) -> Any:
    """Import the class or function of that name in ``paths``, or at the path ``name``. Raises PluginError."""
    return load_path(paths[name], kind=kind) if name in paths else load_named(name, paths, kind=kind)


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
    """Return the entry points of a group, ``package.module:attribute`` by name, of all installed packages."""
    return {entry.name: entry.value for entry in entry_points(group=group)}


def make(
    part: Callable[..., T], settings: Mapping[str, object], *, offered: Mapping[str, object], what: str
) -> T:
    """Call ``part`` with its settings, and with those ``offered`` values for which it has a parameter.

    Settings win over offered values. Raises PluginError for unknown or missing settings, and for those of another type
    than the parameter's, where that is a plain one (numbers, texts, booleans and lists of them).
    """
    parameters = inspect.signature(part).parameters
    named = {name for name, p in parameters.items() if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    given = {name: value for name, value in offered.items() if name in named and name not in settings}
    required = {name for name in named if parameters[name].default is inspect.Parameter.empty}
    takes = f"it takes {', '.join(sorted(named)) or 'none'}"
    if unknown := sorted(settings.keys() - named) if not takes_any else []:
        raise PluginError(f"{what} has no setting {', '.join(unknown)}: {takes}")
    if missing := sorted(required - given.keys() - settings.keys()):
        raise PluginError(f"{what} needs the setting {', '.join(missing)}: {takes}")
    return part(**given, **_typed(part, settings, what))


def _typed(part: Callable[..., object], settings: Mapping[str, object], what: str) -> dict[str, object]:
    """Return the settings as the types of the parameters. Raises PluginError."""
    try:
        kinds = get_type_hints(vars(part).get("__init__", part) if isinstance(part, type) else part)
    except (NameError, TypeError):  # names that exist for type checkers only
        return dict(settings)
    read = {}
    for name, value in settings.items():
        try:
            read[name] = read_value(value, kinds[name]) if _is_plain(kinds.get(name)) else value
        except ValueError as error:
            raise PluginError(f"{what}: {name}: {error}") from error
    return read


def _is_plain(kind: object) -> bool:
    if arguments := get_args(kind):
        return get_origin(kind) is Literal or all(map(_is_plain, arguments))
    return kind in (int, float, str, bool, type(None), Ellipsis)
