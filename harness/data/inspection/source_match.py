"""Find the run of the source that a trajectory was made of, and what the ledger says of its turns."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.data.inspection.source_count import Unit, count
from harness.data.inspection.source_marks import Key

# Reasons of dropped turns that deny that there was a call, or that it could be read.
_NO_CALL = {"empty_turn", "no_step_with_action", "no_agent_turn", "no_trajectory", "unparsable_call",
            "arguments_not_an_object"}  # fmt: skip
_IDS = ("trajectory_id", "traj_id", "session_id", "sessionId")
_BRANCH = re.compile("[#~]")
_NAMED = 5  # documents of a log that are searched for these
_LOOKED_UP = 16  # features of a trajectory by which its unit is found
_COMMON = 50  # units with a feature, from which on it tells little


class Budget:
    """The turns and trajectories of each file that were dropped for a reason that admits of a call, by the ledger."""

    def __init__(self, ledger: Path | None) -> None:
        self.turns: Counter[str] = Counter()
        self.whole: Counter[str] = Counter()
        for file in json.loads(ledger.read_text("utf-8"))["files"] if ledger else ():
            place = _place(file["path"])
            self.turns[place] += _admitted(file["steps"]["dropped"])
            self.whole[place] += _admitted(file["trajectories"]["dropped"]) + _admitted(file["skipped"])

    def take(self, origin: str, replies: int) -> int:
        """Return how many of these replies were in dropped turns, and spend them."""
        place = self._known(origin)
        taken = min(replies, self.turns[place])
        self.turns[place] -= taken
        return taken

    def take_whole(self, origin: str) -> bool:
        """Return whether a run without a trajectory was dropped, and spend that."""
        place = self._known(origin)
        self.whole[place] -= 1
        return self.whole[place] >= 0

    def may_be_dropped(self, origin: str) -> bool:
        """Return whether a whole run of this file was dropped."""
        return self.whole[self._known(origin)] > 0

    def left(self, origin: str) -> int:
        """Return the number of dropped turns that are not spent."""
        return self.turns[self._known(origin)]

    def _known(self, origin: str) -> str:
        """Return the file, or the folder of events, that the ledger has an account of."""
        place = _place(origin)
        parent = str(Path(place).parent)
        return parent if place not in self.turns and parent in self.turns else place


def _place(path: str) -> str:
    return str(Path(path.partition("!")[0]).resolve())


def _admitted(dropped: Mapping[str, int]) -> int:
    return sum(times for reason, times in dropped.items() if reason not in _NO_CALL)


def features_of(calls: Iterable[Key], ids: Iterable[str]) -> set[int]:
    """Return hashes of each call's name with each of its arguments, and of the ids."""
    items = ((name, *item) for name, arguments in calls for item in arguments or (("", ""),))
    return {hash(item) for item in items} | {hash(("id", one)) for one in ids}


def id_of(trajectory_id: object) -> str:
    """Return the id of a run without what tells apart its branches and its namesakes."""
    return _BRANCH.split(str(trajectory_id), maxsplit=1)[0]


def unit_features(unit: Unit) -> set[int]:
    """Return those of all calls that the unit may hold, and of the ids of its run."""
    if unit.own:
        return features_of((), [id_of(unit.own)])
    found = count(unit)
    fenced = (call for calls in found.fenced.values() for call in calls)
    heads = [document.value for document in unit.documents[:_NAMED] if isinstance(document.value, Mapping)]
    ids = [id_of(head[key]) for head in heads for key in _IDS if head.get(key)]
    return features_of((call.key for call in (found.calls or fenced)), ids)


def match(rows: Sequence[set[int]], runs: Iterable[tuple[set[int], bool]]) -> list[int | None]:
    """Return for each trajectory the run that shares most features with it.

    Among equals it is one that was not dropped (its flag), then the next in the order of the source.

    >>> match([{1, 2}, {1, 2}, {9}], [({1, 2}, True), ({1, 2, 3}, False), ({1, 2}, False), ({1, 2}, False)])
    [2, 3, None]
    """
    wanted = set().union(*rows)
    having: dict[int, list[int]] = {}
    features: list[set[int]] = []
    dropped: list[bool] = []
    for index, (run, was_dropped) in enumerate(runs):
        features.append(run)
        dropped.append(was_dropped)
        for feature in run & wanted:
            having.setdefault(feature, []).append(index)
    taken: Counter[int] = Counter()
    places: list[int | None] = []
    last = 0
    for row in rows:
        rarest = sorted((len(having[feature]), feature) for feature in row if feature in having)[:_LOOKED_UP]
        told = [feature for number, feature in rarest if number <= _COMMON] or [
            feature for _, feature in rarest[:1]
        ]
        near = sorted({index for feature in told for index in having[feature]})
        ranks = {
            i: (len(row & features[i]), not dropped[i], i >= last, -len(features[i]), -taken[i], -i)
            for i in near
        }
        best = max(ranks, key=ranks.__getitem__, default=None)
        places.append(best)
        if best is not None:
            taken[best] += 1
            last = best
    return places
