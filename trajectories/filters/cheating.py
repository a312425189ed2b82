"""Expert steps that look up the solution, or weaken the tests, instead of solving the task.

`harness.evaluation.swe.exploits` reports broadly, for a person to review. These rules drop expert data unseen, so each
requires proof that the step concerns this repository's later history, or its own tests.
"""

import re
from collections.abc import Collection, Iterator

from trajectories.filters.base import Found, texts
from trajectories.filters.shell import Words, commands
from trajectories.types import Action, Step, Trajectory
from trajectories.vocabulary import Canonical, canonical

HISTORY = "reads_the_future"  # git objects and references that HEAD does not reach
NETWORK = "fetches_the_fix"
RELEASE = "installs_a_release"  # of the same project: it may hold the fix
TESTS = "deletes_tests"
WEAKENED = "weakens_tests"
RULES = (HISTORY, NETWORK, RELEASE, TESTS, WEAKENED)

_HASH = re.compile(r"\b[0-9a-f]{7,40}\b")
_HASH_LENGTH = 7
_ALL = frozenset({"--all", "--remotes", "--reflog", "--walk-reflogs", "-g", "--branches"})
_FETCHES = frozenset({"fetch", "pull"})
_LISTS = frozenset({"reflog", "fsck", "for-each-ref", "ls-remote"})
_SHOWS_ALL = _ALL | {"--oneline", "--graph", "--decorate", "--stat", "--"}
_LIMIT = re.compile(r"-(\d{1,6})")
_PIPE = re.compile(r"\|\|?[ ]{0,4}(head\b|cat\b)?")
_LOOKED_AT = 20_000  # inspected characters of the output of pip or git
_OWN_COMMITS = 2  # unknown commits that a list of all may show: the agent's own
_SEARCHES = 50  # searches of the earlier steps for a file's name, in one trajectory
_READS = frozenset(
    {"log", "rev-list", "show", "diff", "checkout", "cherry-pick", "cat-file", "format-patch", "restore"}
)
_REMOTE = re.compile(r"(?:origin|upstream|FETCH_HEAD|refs/remotes)(?:$|[/.:~^])|@\{u")
_URL = re.compile(r"https?://[^\s\"'<>|;)]{1,500}|git@[\w.-]{1,100}:[^\s\"'<>|;)]{1,300}")
_FETCHERS = frozenset({"curl", "wget", "aria2c", "lynx", "http"})
_GH_READS = (["view"], ["diff"], ["list"], ["checkout"])
_PYTHON_FETCHES = ("urlopen(", "urlretrieve(", "requests.get(", "httpx.get(")
_TEST_FILE = re.compile(
    r"(?:^|/)(?:test_[^/]*|[^/]*_test|[^/]*[.]test|[^/]*[.]spec|tests?/[^/]+)[.](?:py|[jt]sx?|go|rb|rs|java|kt|cs|php|c|cc|cpp)$"
)
_ASSERTS = ("assert", "self.assert", "with pytest.raises", "expect(")
_CONDITIONS = ("pytest.mark.skipif", "unittest.skipIf", "unittest.skipUnless")
_SKIPS = (
    "pytest.mark.skip", "pytest.mark.xfail", "unittest.skip", "pytest.skip(", "self.skipTest(", "expectedFailure"
)  # fmt: skip


def cheating(trajectory: Trajectory, *, rules: Collection[str] = RULES) -> Found:
    """Find steps that match a rule; of several rules the first in the order of ``RULES`` counts."""
    scan = _Scan(trajectory)
    found = {}
    for index, step in enumerate(trajectory.steps):
        matched = set(scan.reasons(index, step))
        if reason := next((rule for rule in RULES if rule in matched and rule in rules), None):
            found[index] = reason
    return found


class _Scan:
    """A pass over the steps that remembers known commits, and assertions that the agent wrote."""

    def __init__(self, trajectory: Trajectory) -> None:
        owner, _, name = trajectory.repository.rpartition("/")
        self.steps = trajectory.steps
        self.name = name.lower()
        self.full_name = f"{owner}/{name}".lower() if owner else ""
        task = f"{trajectory.task}\n{trajectory.metadata.get('prompt', '')}"
        self.known = _hashes(task)
        self.given = {url.rstrip(".,:") for url in _URL.findall(task)}
        self.task_names_gh = "gh " in task
        self.written: set[str] = set()
        self.searches_left = _SEARCHES

    def reasons(self, index: int, step: Step) -> Iterator[str]:
        history = False
        for action in step.actions:
            for reason in self._rules(index, action, step.observation):
                history |= reason == HISTORY
                yield reason
            self.written |= {line for text in texts(action.arguments) for line in _asserts(text)}
        if not history:
            self.known |= _hashes(step.observation)

    def _rules(self, index: int, action: Action, observation: str) -> Iterator[str]:
        call = canonical(action)
        if call is None:
            return
        line, url, path = (call.arguments.get(name) for name in ("command", "url", "path"))
        if call.kind == "run" and isinstance(line, str):
            yield from self._shell(index, line, observation)
        elif call.kind == "view" and isinstance(url, str) and self._names_project(url):
            yield NETWORK
        elif call.kind == "replace" and isinstance(path, str) and self._weakens(path, call):
            yield WEAKENED

    def _shell(self, index: int, line: str, observation: str) -> Iterator[str]:
        fetches = any(fetch in line for fetch in _PYTHON_FETCHES)
        if fetches and any(map(self._names_project, _URL.findall(line))):
            yield NETWORK
        only_known = "git" in line and self._shows_only_known(_whole(line, observation))
        for words in commands(line):
            program, rest = words[0].rpartition("/")[2], words[1:]
            if program.startswith("python") and rest[:2] == ["-m", "pip"]:
                program, rest = "pip", rest[2:]
            if program == "git":
                yield from self._git(index, rest, observation, only_known=only_known)
            elif program in ("pip", "pip3") and self._installs_release(rest, observation):
                yield RELEASE
            elif program == "rm" and self._deletes_tests(index, rest):
                yield TESTS
            elif self._fetches(program, rest):
                yield NETWORK

    def _git(self, index: int, words: Words, observation: str, *, only_known: bool) -> Iterator[str]:
        words = _git_command(words)
        verb, rest = (words[0], words[1:]) if words else ("", [])
        if verb in _FETCHES or (verb == "remote" and rest[:1] == ["update"]):
            if "Already up to date" not in observation[:_LOOKED_AT]:
                yield HISTORY
        elif verb in _LISTS or (verb in ("log", "rev-list") and not _ALL.isdisjoint(rest)):
            if not all(word in _SHOWS_ALL or _LIMIT.fullmatch(word) for word in rest) or not only_known:
                yield HISTORY
        elif verb in _READS and any(map(self._is_unknown_commit, rest)):
            yield HISTORY
        elif verb == "clone" and any(map(self._names_project, rest)):
            yield NETWORK
        elif verb == "rm" and self._deletes_tests(index, rest):
            yield TESTS

    def _shows_only_known(self, observation: str) -> bool:
        """Return whether all listed commits are known, except for the agent's own."""
        shown = _hashes(observation)
        return len(shown) > 0 and len(shown - self.known) <= _OWN_COMMITS

    def _is_unknown_commit(self, word: str) -> bool:
        """Return whether a word names a commit that no earlier output showed, or a remote branch."""
        if _REMOTE.match(word):
            return True
        return any(
            match[0][:_HASH_LENGTH] not in self.known and not match[0].isdecimal()
            for match in _HASH.finditer(word.partition(":")[0])
        )

    def _fetches(self, program: str, words: Words) -> bool:
        if program in _FETCHERS:
            return any(map(self._names_project, words))
        if program != "gh" or self.task_names_gh:
            return False
        if words[:1] not in (["api"], ["search"]) and words[1:2] not in _GH_READS:
            return False
        return any(word.isdecimal() or (self.full_name and self.full_name in word.lower()) for word in words)

    def _names_project(self, word: str) -> bool:
        """Return whether a word is an address of this project that the task does not give."""
        address = word.lower()
        if not self.name or ("//" not in address and "git@" not in address) or word in self.given:
            return False
        if self.full_name and f"{self.full_name}/" in f"{address.removesuffix('.git')}/":
            return True
        parts = re.split(r"[/:?#&=]", address)
        return self.name in parts and ("pypi.org" in parts or "files.pythonhosted.org" in parts)

    def _installs_release(self, words: Words, observation: str) -> bool:
        """Return whether pip gets the project itself, and does not say that it is installed already."""
        if words[:1] not in (["install"], ["download"]) or not self.name:
            return False
        named = any(_package(word) == _plain(self.name) or self._names_project(word) for word in words[1:])
        output = observation[:_LOOKED_AT].lower()
        installed = f"already satisfied: {self.name} " in output and f"collecting {self.name}" not in output
        return named and not installed

    def _deletes_tests(self, index: int, words: Words) -> bool:
        return any(_is_test(word) and self._existed(index, word) for word in words)

    def _existed(self, index: int, path: str) -> bool:
        """Return whether a file first appears in an observation; one that the agent made first appears in a call."""
        if self.searches_left == 0 or "*" in path:
            return False
        self.searches_left -= 1
        *folders, name = path.split("/")
        in_folder = f"{folders[-1]}/{name}" if folders and folders[-1].strip(".") else None
        # The same name in another folder does not count.
        alone = re.compile(rf"(?<![\w./-]){re.escape(name)}")
        for step in self.steps[:index]:
            if any(name in text for action in step.actions for text in texts(action.arguments)):
                return False
            if (in_folder is not None and in_folder in step.observation) or alone.search(step.observation):
                return True
        return False

    def _weakens(self, path: str, call: Canonical) -> bool:
        """Return whether an edit removes assertions that the agent did not write, or adds skips."""
        old, new = call.arguments.get("old"), call.arguments.get("new")
        if not isinstance(old, str) or not isinstance(new, str):
            return False
        if not _is_test(path) or "test" not in path.rpartition("/")[2]:
            return False
        theirs = [line for line in _asserts(old) if line not in self.written]
        # A new test may be skipped somewhere.
        more_tests = max(new.count("def test") - old.count("def test"), 0)
        return len(_asserts(new)) < len(theirs) or _skips(new) > _skips(old) + more_tests


def _hashes(text: str) -> set[str]:
    return {match[0][:_HASH_LENGTH] for match in _HASH.finditer(text)}


def _whole(line: str, observation: str) -> str:
    """Return the observation if it is the whole output of a git command (no filter, no limit reached), else ""."""
    if any(match[0][:2] != "||" and not match[1] for match in _PIPE.finditer(line)):
        return ""
    if len(observation) > _LOOKED_AT:
        return ""
    limits = [int(number) for number in _LIMIT.findall(line)] + ([10] if "head" in line else [])
    return "" if limits and len(_hashes(observation)) >= min(limits) else observation


def _git_command(words: Words) -> Words:
    """Return the words without the options before the verb: ``-C path``, ``-c key=value``, ``--no-pager``."""
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in ("-C", "-c") else words[1:]
    return words


def _is_test(path: str) -> bool:
    return not path.startswith(("-", "/tmp/")) and _TEST_FILE.search(path) is not None


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _package(word: str) -> str:
    """Return the project of a requirement: ``SymPy[all]==1.2`` -> ``sympy``; "" for an option or a path."""
    match = re.match(r"[A-Za-z0-9][\w.-]*", word)
    return _plain(match[0]) if match and "/" not in word else ""


def _asserts(text: str) -> list[str]:
    return [line for line in map(str.strip, text.splitlines()) if line.startswith(_ASSERTS)]


def _skips(text: str) -> int:
    """Count skips without a condition. Conditional ones, as for a missing GPU, are allowed."""
    return sum(text.count(skip) for skip in _SKIPS) - sum(text.count(skip) for skip in _CONDITIONS)
