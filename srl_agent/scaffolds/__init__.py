"""Control flows: how a policy works on a task in an environment."""

from collections.abc import Mapping
from typing import Any

from srl_agent.generation.types import Sampling
from srl_agent.plugins import PluginError, installed_plugins, load_named, load_path, make
from srl_agent.scaffolds.base import (
    Environment,
    Recorder,
    Rollout,
    Scaffold,
    ScaffoldTask,
    Status,
    limit_of,
    make_rollout,
)

ENTRY_POINTS = "srl_agent.scaffolds"  # group in which an installed package names its scaffolds

# By name, imported when one is made: mini-swe-agent comes with its package.
SCAFFOLDS: Mapping[str, str] = {
    "tool-loop": "srl_agent.scaffolds.tool_loop:ToolLoop",
    "oracle-edit": "srl_agent.scaffolds.oracle_edit:OracleEdit",
    "agentless-mini": "srl_agent.scaffolds.agentless_mini:AgentlessMini",
    "math": "srl_agent.scaffolds.math:MathScaffold",
    "mini-swe-agent": "srl_agent.scaffolds.mini_swe_agent:MiniSweAgent",
}


def load_scaffold(name: str, settings: Mapping[str, Any], **offered: Any) -> Scaffold:
    """A scaffold by name, by an entry point of the group ENTRY_POINTS, or by ``package.module:Class``.

    ``settings`` are its constructor's keywords; a table under ``sampling`` becomes a Sampling. What is ``offered``
    (the recipe's ``action_format``, say) is given to a constructor that has a parameter of that name.
    Raises PluginError.
    """
    found = load_named(name, {**installed_plugins(ENTRY_POINTS), **SCAFFOLDS}, kind="scaffold")
    part = load_path(found, kind="scaffold") if isinstance(found, str) else found
    given = dict(settings)
    if isinstance(given.get("sampling"), Mapping):
        given["sampling"] = _sampling(given["sampling"], name)
    scaffold: Scaffold = make(part, given, offered=offered, what=f"scaffold {name}")
    return scaffold


def _sampling(table: Mapping[str, Any], name: str) -> Sampling:
    settings = {key: tuple(value) if key == "stop" else value for key, value in table.items()}
    made: Sampling = make(Sampling, settings, offered={}, what=f"sampling of scaffold {name}")
    return made


__all__ = [
    "ENTRY_POINTS",
    "SCAFFOLDS",
    "Environment",
    "PluginError",
    "Recorder",
    "Rollout",
    "Scaffold",
    "ScaffoldTask",
    "Status",
    "limit_of",
    "load_scaffold",
    "make_rollout",
]
