"""A reward on the structure of actions: the tool must match, arguments are averaged, an edit counts as its diff."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from srl_agent.rewards.similarity import similarity
from trajectories import Action
from trajectories.types import JSON
from trajectories.vocabulary import EDITORS

# Prose and bookkeeping of the agent's harness: they do not change what an action does.
_PROSE = frozenset({"description", "summary", "security_risk", "explanation", "reason"})
_PATHS = frozenset({"path", "file_path", "filename", "notebook_path"})
_OLD_TEXT = frozenset({"old_str", "old_string"})
_NEW_TEXT = frozenset({"new_str", "new_string", "file_text", "content", "new_source"})


def structured_similarity(candidate: Sequence[Action], expert: Sequence[Action]) -> float:
    """Return the mean score in [0, 1] of the calls of a turn, compared in order; a missing or extra call scores 0.

    A call of another tool (or another sub-command of an editor) scores 0. Otherwise the score of a call is the
    similarity of the paths times the mean over the other arguments. Texts are compared by :func:`similarity`, line
    ranges by their overlap, other values by equality. ``old_str`` and ``new_str`` together count as one argument, the
    diff between them, and a candidate that changes nothing scores 0 against an edit.

    >>> look = Action(name="bash", arguments={"command": "ls /testbed"})
    >>> structured_similarity([look], [look])
    1.0
    >>> structured_similarity([Action(name="bash", arguments={"command": ""})], [look])
    0.0
    """
    calls = max(len(candidate), len(expert))
    if calls == 0:
        return 1.0
    return sum(_call_score(c, e) for c, e in zip(candidate, expert, strict=False)) / calls


def _call_score(candidate: Action, expert: Action) -> float:
    if candidate.name != expert.name:
        return 0.0
    given, wanted = _scored_arguments(candidate), _scored_arguments(expert)
    if expert.name in EDITORS and given.pop("command", None) != wanted.pop("command", None):
        return 0.0
    if "diff" in wanted and not given.get("diff"):
        return 0.0
    gate = 1.0
    for name in _PATHS & (given.keys() | wanted.keys()):
        gate *= _path_likeness(given.pop(name, None), wanted.pop(name, None))
    names = given.keys() | wanted.keys()
    if not names or gate == 0.0:
        return gate
    scores = [_likeness(given[n], wanted[n]) if n in given and n in wanted else 0.0 for n in names]
    return gate * sum(scores) / len(names)


def _scored_arguments(action: Action) -> dict[str, JSON]:
    """Return arguments without prose, old and new text replaced by the diff between them."""
    arguments = {name: value for name, value in action.arguments.items() if name not in _PROSE}
    texts = {name: arguments.pop(name) for name in (_OLD_TEXT | _NEW_TEXT) & arguments.keys()}
    if texts:
        arguments["diff"] = _diff(_joined(texts, _OLD_TEXT), _joined(texts, _NEW_TEXT))
    return arguments


def _joined(texts: Mapping[str, JSON], names: frozenset[str]) -> str:
    return "\n".join(str(texts[name]) for name in sorted(names & texts.keys()) if texts[name] is not None)


def _diff(old: str, new: str) -> str:
    """Return the removed and added lines, marked, without context; empty if nothing changes."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))


def _path_likeness(given: JSON, wanted: JSON) -> float:
    """Return the share of path components in common, in order."""
    if not isinstance(given, str) or not isinstance(wanted, str):
        return float(given == wanted)
    left, right = ([part for part in path.split("/") if part] for path in (given, wanted))
    return difflib.SequenceMatcher[str](a=left, b=right, autojunk=False).ratio()


def _likeness(given: JSON, wanted: JSON) -> float:
    if isinstance(given, str) and isinstance(wanted, str):
        return similarity(given, wanted)
    if _is_range(given) and _is_range(wanted):
        return _overlap(given, wanted)
    return float(json.dumps(given, sort_keys=True) == json.dumps(wanted, sort_keys=True))


def _is_range(value: JSON) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) == 2 and all(type(bound) is int for bound in value)


def _overlap(given: Sequence[int], wanted: Sequence[int]) -> float:
    """Return lines in both ranges over lines in either; a last line of −1 means the end of the file."""
    if -1 in (given[1], wanted[1]):
        return float(list(given) == list(wanted))
    both = min(given[1], wanted[1]) - max(given[0], wanted[0]) + 1
    either = max(given[1], wanted[1]) - min(given[0], wanted[0]) + 1
    return max(both, 0) / either if either > 0 else 0.0
