"""Scaffolds: control flows of a policy that works on a task in an environment."""

from collections.abc import Mapping

from srl_agent.generation.types import Sampling
from srl_agent.plugins import PluginError, installed_plugins, load_part, make
from srl_agent.scaffolds.base import Environment, Recorder, Rollout, Scaffold, ScaffoldTask, Status, limit_of
from trajectories.types import JSON

ENTRY_POINTS = "srl_agent.scaffolds"  # group of entry points in which installed packages offer scaffolds

# By name, imported when one is made: mini-swe-agent needs its package.
SCAFFOLDS: Mapping[str, str] = {
    "tool-loop": "srl_agent.scaffolds.tool_loop:ToolLoop",
    "oracle-edit": "srl_agent.scaffolds.oracle_edit:OracleEdit",
    "agentless-mini": "srl_agent.scaffolds.agentless_mini:AgentlessMini",
    "math": "srl_agent.scaffolds.math:MathScaffold",
    "mini-swe-agent": "srl_agent.scaffolds.mini_swe_agent:MiniSweAgent",
}


def load_scaffold(name: str, settings: Mapping[str, object], **offered: object) -> Scaffold:
    """Make a scaffold by name, by an entry point of the group ENTRY_POINTS, or by ``package.module:Class``.

    ``settings`` are its constructor's keywords; a table under ``sampling`` becomes a Sampling. ``offered`` values (the
    recipe's ``action_format``, for example) go to a constructor that has a parameter of that name. Raises PluginError.
    """
    part = load_part(name, {**installed_plugins(ENTRY_POINTS), **SCAFFOLDS}, kind="scaffold")
    given = dict(settings)
    if isinstance(sampling := given.get("sampling"), Mapping):
        given["sampling"] = _sampling(sampling, name)
    scaffold: Scaffold = make(part, given, offered=offered, what=f"scaffold {name}")
    return scaffold


def _sampling(table: Mapping[str, JSON], name: str) -> Sampling:
    settings = {key: tuple(value) if key == "stop" else value for key, value in table.items()}
    return make(Sampling, settings, offered={}, what=f"sampling of scaffold {name}")


__all__ = [
    "ENTRY_POINTS", "SCAFFOLDS", "Environment", "PluginError", "Recorder", "Rollout", "Scaffold",
    "ScaffoldTask", "Status", "limit_of", "load_scaffold",
]  # fmt: skip
