"""Find evaluated tasks in training data, by four causes: the task's id, its base commit, its patch, its text."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from posixpath import basename
from typing import get_args

from environments.swe.patches import split_patch
from harness.config.tables import Cause
from trajectories import Trajectory
from trajectories.task_ids import task_key
from trajectories.types import JSON

CAUSES: tuple[Cause, ...] = get_args(Cause)

_WORD = re.compile(r"\w+")
_FULL_COMMIT = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{40}(?![0-9A-Za-z])")
_NAMED_BASE = re.compile(r"base[ _]commit\W{1,5}(?:is\W{1,3})?[0-9a-f]{7,40}\b", re.IGNORECASE)
_COMMIT_IN_ID = re.compile(r"\.([0-9a-f]{8})(?:\.|$)")  # SWE-smith: owner__name.1a2b3c4d.kind__number


@dataclass(frozen=True, kw_only=True)
class EvaluatedTask:
    """A task that is evaluated. A field that is empty is not compared."""

    evaluation: str  # the evaluation set
    name: str
    text: str
    instance_id: str | None = None  # None: an id without meaning outside of its set, as of math problems
    repo: str = ""
    base_commit: str = ""
    patch: str = ""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trajectory or task that is trained on."""

    name: str
    where: str  # file:line
    text: str
    instance_id: str | None = None
    repo: str = ""
    # Full hashes that it mentions, and the short hash in its id.
    commits: frozenset[str] = frozenset()
    names_base: bool = False  # whether one of them is named as the base commit
    patch: str = ""
    split_from: str = ""  # an evaluation set that it is not compared with: the other side of its split


@dataclass(frozen=True, kw_only=True)
class Match:
    """An evaluated task and training data that match by at least one cause."""

    evaluation: str
    instance: str
    trained: str
    where: str
    causes: tuple[Cause, ...]
    share: float | None  # of the task's n-grams found in the training text; None: below the threshold

    def __str__(self) -> str:
        shown = [f"{self.share:.0%} of its text" if cause == "text" else cause for cause in self.causes]
        return f"{self.instance} ({self.evaluation}): {', '.join(shown)} in {self.trained} ({self.where})"


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The matches, and what could not be compared."""

    tasks: int  # evaluated
    trained: int  # trajectories or tasks trained on
    matches: tuple[Match, ...]
    causes: tuple[Cause, ...]  # for which the tasks have the fields
    not_checked: Mapping[Cause, int]  # training data without the field that this cause compares

    def not_allowed(self, allow: Iterable[Cause]) -> list[Match]:
        """Return the matches with a cause that is not among these."""
        return [match for match in self.matches if set(match.causes) - set(allow)]

    def by_cause(self) -> dict[str, dict[str, int]]:
        """Return the figures of each cause that was checked."""
        found: dict[str, dict[str, int]] = {}
        for cause in self.causes:
            same = [match for match in self.matches if cause in match.causes]
            found[cause] = {
                "tasks": len({(match.evaluation, match.instance) for match in same}),
                "trained_on": len({match.where for match in same}),
                "not_checked": self.not_checked.get(cause, 0),
            }
        return found

    def as_table(self) -> dict[str, JSON]:
        """Return the content of contamination.json."""
        return {
            "tasks": self.tasks,
            "trained_on": self.trained,
            "causes": self.by_cause(),
            "matches": [{**vars(match), "causes": list(match.causes)} for match in self.matches],
        }


def find_contamination(
    tasks: Iterable[EvaluatedTask], trained: Iterable[Trained], *, words: int = 8, share: float = 0.5
) -> Contamination:
    """Find every pair of a task and training data that match by a cause; ``trained`` is streamed.

    - ``instance``: the same id, ignoring case, and what tells rollouts of a task or writings of its id apart.
    - ``commit``: the same repository at the same base commit.
    - ``patch``: the training patch has each file's changed lines of the reference patch, ignoring white space.
    - ``text``: a ``share`` of the task's n-grams of ``words`` words is in the training text (:class:`TextIndex`).
    """
    held = list(tasks)
    index = _Index(held, words)
    matches: list[Match] = []
    not_checked: Counter[Cause] = Counter()
    count = 0
    for one in trained:
        count += 1
        keys = patch_keys(one.patch)
        not_checked.update(_not_checked(one, keys) & index.causes)
        for position, same in sorted(index.look_up(one, keys, share).items()):
            task = held[position]
            if task.evaluation == one.split_from:
                continue
            matches.append(
                Match(
                    evaluation=task.evaluation,
                    instance=task.name,
                    trained=one.name,
                    where=one.where,
                    causes=tuple(same),
                    share=same.get("text"),
                )
            )
    causes, found = tuple(cause for cause in CAUSES if cause in index.causes), tuple(matches)
    return Contamination(
        tasks=len(held), trained=count, matches=found, causes=causes, not_checked=not_checked
    )


def trained_of(trajectory: Trajectory, where: str) -> Trained:
    """Return the fields of a trajectory that are compared."""
    text = f"{trajectory.task}\n{json.dumps(dict(trajectory.metadata), ensure_ascii=False)}"
    in_id = _COMMIT_IN_ID.findall(trajectory.instance_id)
    return Trained(
        name=trajectory.trajectory_id,
        where=where,
        text=trajectory.task,
        instance_id=trajectory.instance_id,
        repo=trajectory.repository,
        commits=frozenset([*_FULL_COMMIT.findall(text), *in_id]),
        names_base=bool(in_id or _NAMED_BASE.search(text)),
        patch=trajectory.patch or "",
    )


def patch_keys(patch: str) -> frozenset[str]:
    """Return a key for each changed file: a hash of its name without folders and its changed lines without white space.

    Context, line numbers, headers and the order of files do not matter.

    >>> one = "--- a/src/x.py\\n+++ b/src/x.py\\n@@ -1,2 +1,2 @@\\n-a = 1\\n+a = 2\\n b\\n"
    >>> other = "--- x.py\\n+++ x.py\\n@@ -7 +7 @@\\n-a=1\\n+a=2\\n"
    >>> patch_keys(one) == patch_keys(other)
    True
    """
    keys = set()
    for part in split_patch(patch):
        changed = ["".join(line.split()) for line in part.text.split("\n") if line[:1] in ("+", "-")]
        lines = [line for line in changed if len(line) > 1 and not line.startswith(("+++", "---"))]
        if lines and part.paths:
            content = "\n".join([basename(part.paths[-1]), *lines])
            keys.add(sha256(content.encode("utf-8", errors="surrogatepass")).hexdigest())
    return frozenset(keys)


def _not_checked(one: Trained, keys: frozenset[str]) -> set[Cause]:
    lacks = (one.instance_id is None, not one.names_base, not keys, _WORD.search(one.text) is None)
    return {cause for cause, missing in zip(CAUSES, lacks, strict=True) if missing}


class _Index:
    """The evaluated tasks by the fields that are compared."""

    def __init__(self, held: list[EvaluatedTask], words: int) -> None:
        self._ids: dict[str, list[int]] = {}
        self._commits: dict[str, list[int]] = {}
        self._patches: list[tuple[int, frozenset[str]]] = []
        self._repos = [task.repo.casefold() for task in held]
        for position, task in enumerate(held):
            if task.instance_id is not None:
                self._ids.setdefault(task_key(task.instance_id), []).append(position)
            if task.base_commit:
                self._commits.setdefault(task.base_commit, []).append(position)
            if keys := patch_keys(task.patch):
                self._patches.append((position, keys))
        self._texts = TextIndex([task.text for task in held], words)
        fields = zip(CAUSES, (self._ids, self._commits, self._patches, True), strict=True)
        self.causes = {cause for cause, found in fields if found}

    def look_up(
        self, one: Trained, keys: frozenset[str], share: float
    ) -> Mapping[int, Mapping[Cause, float | None]]:
        """Return the positions of the matching tasks, with the causes in order, and for ``text`` the share.

        ``keys``: of its patch.
        """
        found: dict[int, dict[Cause, float | None]] = defaultdict(dict)
        for position in self._ids.get(task_key(one.instance_id or ""), ()):
            found[position]["instance"] = None
        for position in self._at_commits(one):
            found[position]["commit"] = None
        for position, needed in self._patches if keys else ():
            if needed <= keys:
                found[position]["patch"] = None
        for position, covered in self._texts.shares(one.text).items():
            if covered >= share:
                found[position]["text"] = covered
        return found

    def _at_commits(self, one: Trained) -> Iterable[int]:
        for commit in one.commits:
            if len(commit) == 40:
                yield from self._commits.get(commit, ())
            else:  # short: in the same repository only
                for whole, positions in self._commits.items():
                    if whole.startswith(commit):
                        yield from (at for at in positions if self._repos[at] == one.repo.casefold())


class TextIndex:
    """Texts by their word n-grams.

    Case, punctuation and white space do not matter. 8-grams as in the checks of s1K (arXiv 2501.19393); a share of
    them, because competition problems share phrases ("where m and n are relatively prime positive integers, find …"),
    and issues share templates. A text of fewer words is one n-gram; a text without words matches nothing.

    >>> TextIndex(["What is 2 + 2?"], words=3).shares("Tell me: what is 2+2")
    {0: 1.0}
    """

    def __init__(self, texts: Iterable[str], words: int) -> None:
        self._counts: list[int] = []
        self._where: dict[tuple[str, ...], list[int]] = {}
        for position, text in enumerate(texts):
            ngrams = _ngrams(text, words)
            self._counts.append(len(ngrams))
            for ngram in ngrams:
                self._where.setdefault(ngram, []).append(position)
        self._lengths = {len(ngram) for ngram in self._where}

    def shares(self, text: str) -> dict[int, float]:
        """Return the shares above 0 of each text's n-grams that are in this one, by the text's position."""
        tokens = _words(text)
        ngrams = {ngram for length in self._lengths for ngram in _windows(tokens, length)}
        present = ngrams & self._where.keys()
        found = Counter(position for ngram in present for position in self._where[ngram])
        return {position: count / self._counts[position] for position, count in found.items()}


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(text.casefold()))


def _ngrams(text: str, length: int) -> set[tuple[str, ...]]:
    tokens = _words(text)
    if not tokens:
        return set()
    return set(_windows(tokens, length)) if len(tokens) >= length else {tokens}


def _windows(tokens: tuple[str, ...], length: int) -> Iterable[tuple[str, ...]]:
    return (tokens[start : start + length] for start in range(len(tokens) - length + 1))
