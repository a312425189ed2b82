"""Load the reward that a recipe names, with its settings."""

import inspect
from collections.abc import Collection, Mapping
from functools import partial

from srl_agent.formats import ActionFormat
from srl_agent.plugins import PluginError, load_named, make
from srl_agent.rewards.calls import ARGUMENTS, Reward, required_arguments
from srl_agent.rewards.functions import REWARDS

# A callable with one of these parameters scores completions; another one makes the reward that does.
_SCORED = frozenset({"prompts", "completions", "completion_ids"})


def load_reward(
    name: str, settings: Mapping[str, object], *, action_format: ActionFormat, columns: Collection[str]
) -> Reward:
    """Return a built-in reward, or that of ``package.module:attribute``; ``columns``: those of the rows.

    A function that takes completions (or ``**columns``) is the reward, and gets ``settings`` as keyword arguments. A
    class, or a function that takes no completions, such as ``trl.rewards:get_soft_overlong_punishment``, is called once
    with ``settings``, and with ``action_format`` if it has such a parameter; what it returns is the reward. Raises
    PluginError.
    """
    part: object = load_named(name, REWARDS, kind="reward")
    if not callable(part):
        raise PluginError(f"reward {name!r} is no function or class but {type(part).__name__}")
    what = f"settings of {name}"
    try:
        if _scores_completions(part):
            reward: object = partial(part, **_checked(part, settings, columns, what)) if settings else part
        else:
            reward = make(part, settings, offered={"action_format": action_format}, what=what)
        if not callable(reward):
            raise PluginError(f"{name} makes {type(reward).__name__}, which is no reward function")
        needed = required_arguments(reward) - {*ARGUMENTS, *columns}
    except PluginError:
        raise
    except Exception as error:  # of a class or function that is not ours
        raise PluginError(f"{what}: {type(error).__name__}: {error}") from error
    if needed:
        raise PluginError(
            f"{name} needs {', '.join(sorted(needed))}: neither a column of the rows ({', '.join(columns)}) nor among "
            "its settings"
        )
    return reward


def _scores_completions(part: Reward) -> bool:
    if inspect.isclass(part):
        return False
    parameters = inspect.signature(part).parameters.values()
    return any(p.name in _SCORED or p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


def _checked(
    reward: Reward, settings: Mapping[str, object], columns: Collection[str], what: str
) -> Mapping[str, object]:
    """Return settings that are parameters of a reward function. Raises PluginError.

    ``**columns`` takes no setting: a misspelt one would pass there without effect.
    """
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    takes = [p.name for p in inspect.signature(reward).parameters.values() if p.kind in named]
    free = [name for name in takes if name not in ARGUMENTS and name not in columns]
    if unknown := sorted(settings.keys() - set(free)):
        raise PluginError(
            f"{what}: it has no parameter {', '.join(unknown)}; it takes {', '.join(free) or 'none'}"
        )
    return settings
