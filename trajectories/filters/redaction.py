"""Secrets and personal data, replaced by a mark that names their kind.

Each pattern takes time linear in the text: it begins with fixed characters, or where a word begins, and every repeat
is bounded or ends at the next such position. A mark never causes a new match after it, so a second run changes
nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from trajectories.filters.base import Filter, FilterResult
from trajectories.types import JSON, Step, Trajectory

Text = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A pattern and its mark. A text without any of ``hints`` is not searched."""

    hints: tuple[str, ...]
    pattern: re.Pattern[str]  # its group `secret` is replaced, or the whole match
    mark: str
    keep: Callable[[re.Match[str]], bool] = lambda match: False  # exceptions, such as examples


# Accounts of machines and examples.
_NO_PERSON = frozenset(
    {"user", "users", "username", "runner", "ubuntu", "root", "node", "vscode", "app", "agent", "sandbox", "docker",
     "jovyan", "admin", "git", "me", "you", "name", "foo", "bar", "test", "linuxbrew", "vagrant", "synthetic",
     "shared", "your-username", "yourname", "openhands"}
)  # fmt: skip
# RFC 2606, and machines.
_NO_DOMAINS = frozenset({"example", "test", "invalid", "localhost", "internal", "local"})
_NO_PASSWORDS = frozenset({"pass", "password", "secret", "pwd"})
_EXAMPLE_LOCAL = frozenset({"git", "noreply", "no-reply", "donotreply"})
# Domains of real addresses; a Python decorator after a word (`x@pytest.fixture`) has none of them.
_TLD = (
    "com|org|net|edu|gov|mil|int|info|io|dev|ai|app|biz|name|eu|"
    "ac|ae|ar|at|au|be|bg|br|ca|ch|cl|cn|co|cz|de|dk|ee|es|fi|fr|gr|hk|hr|hu|id|ie|il|in|ir|is|it|jp|ke|kr|lt|lu|lv|"
    "me|mx|my|ng|nl|no|nz|pe|ph|pk|pl|pt|ro|rs|ru|se|sg|si|sk|th|tr|tv|tw|ua|uk|us|uy|vn|za"
)


def _is_example(domain: str) -> bool:
    labels = domain.lower().split(".")
    example = labels[-2:-1] == ["example"] and labels[-1] in ("com", "org", "net", "edu")
    return example or labels[-1] in _NO_DOMAINS


def _example_address(match: re.Match[str]) -> bool:
    local, _, domain = match[0].rpartition("@")
    return local.lower() in _EXAMPLE_LOCAL or _is_example(domain)


def _example_login(match: re.Match[str]) -> bool:
    """Return whether a login comes from documentation or a test: `user:p%40ss`, or any user at example.com."""
    user, _, password = match["secret"].lower().partition(":")
    made_up = user in _NO_PERSON or user.startswith("user") or password in _NO_PASSWORDS
    return made_up or _is_example(match["host"])


def _no_person(match: re.Match[str]) -> bool:
    return match["secret"].lower() in _NO_PERSON


_TOKEN_HINTS = (
    "AKIA", "ASIA", "gh", "sk-", "AIza", "hf_", "xox", "glpat-", "npm_", "pypi-", "_live_", "SG.", "eyJ"
)  # fmt: skip

RULES: Mapping[str, Rule] = {
    "private_key": Rule(
        hints=("PRIVATE KEY",),
        pattern=re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?:[^-]|-(?!----)){0,20000}-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"|(?:\s|\\[nr])*+[A-Za-z0-9+/=]{60,80}+(?:(?:\s|\\[nr])++[A-Za-z0-9+/=]{16,80}+)*+)"
        ),
        mark="[PRIVATE_KEY]",
    ),
    "token": Rule(
        hints=_TOKEN_HINTS,
        pattern=re.compile(
            r"(?<![A-Za-z0-9_-])(?:"
            r"(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"
            r"|gh[pousr]_[A-Za-z0-9]{36,}+|github_pat_\w{50,}+"
            r"|sk-(?:ant|proj|svcacct|or|lf)-[\w-]{20,}+|sk-[A-Za-z0-9]{32,}+"
            r"|AIza[\w-]{35}(?![\w-])|hf_[A-Za-z0-9]{30,}+|xox[abeprs]-[A-Za-z0-9-]{10,}+|glpat-[\w-]{20,}+"
            r"|npm_[A-Za-z0-9]{36,}+|pypi-AgEI[\w-]{50,}+|[spr]k_live_[A-Za-z0-9]{16,}+"
            r"|SG\.[\w-]{16,}+\.[\w-]{16,}+|eyJ[\w-]{10,}+\.eyJ[\w-]{10,}+\.[\w-]{10,}+)"
        ),
        mark="[TOKEN]",
    ),
    "authorization": Rule(
        hints=("uthorization", "UTHORIZATION"),
        pattern=re.compile(
            r"authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?(?:bearer|basic|token)[ \t]{1,3}"
            r"(?P<secret>[A-Za-z0-9+/_.=~-]{16,}+)",
            re.I,
        ),
        mark="[TOKEN]",
    ),
    "url_login": Rule(
        hints=("://",),
        pattern=re.compile(
            r"(?<=://)(?P<secret>[^\s/:@\"'<>\[\]{}$]{1,100}:[^\s/:@\"'<>\[\]{}$]{1,100})(?=@(?P<host>[\w.-]{1,100}))"
        ),
        mark="[LOGIN]",
        keep=_example_login,
    ),
    "email": Rule(
        hints=("@",),
        pattern=re.compile(
            rf"(?<![\w.+%-])(?<!\[EMAIL\])[\w.+-]{{1,64}}@(?:[A-Za-z0-9-]{{1,63}}\.){{1,4}}(?:{_TLD})(?![\w(=-])(?!\.\w)",
            re.ASCII,
        ),
        mark="[EMAIL]",
        keep=_example_address,
    ),
    "home": Rule(
        hints=("/home/", "/Users/", "\\Users\\", "-home-", "-Users-"),
        pattern=re.compile(
            r"(?:(?<!\[USER\])(?:(?<![\w.-])/(?:home|Users)/|(?<![\w-])-(?:home|Users)-)|[A-Za-z]:\\{1,4}Users\\{1,4})"
            r"(?P<secret>[A-Za-z](?:[A-Za-z0-9_]|-(?!-)){0,31})(?![A-Za-z0-9_.-]*[(])"
        ),
        mark="[USER]",
        keep=_no_person,
    ),
}


def redacted(*, rules: Collection[str] = tuple(RULES)) -> Filter:
    """Return a filter that redacts task, thoughts, actions, observations, patch and metadata; ids stay."""
    chosen = {name: rule for name, rule in RULES.items() if name in rules}

    def apply(trajectory: Trajectory) -> FilterResult:
        counts = Counter[str]()
        clean = _redact(trajectory, lambda text: redact(text, chosen, counts))
        notes = Counter({f"redacted:{name}": times for name, times in counts.items()})
        return FilterResult(trajectory=clean if counts else trajectory, notes=notes)

    return apply


def redact(text: str, rules: Mapping[str, Rule] = RULES, counts: Counter[str] | None = None) -> str:
    """Return the text with marks. The number of marks by rule is added to ``counts``.

    >>> redact("Ask ann@acme.com; see /home/ann/x and sk-ant-api03-aaaaaaaaaaaaaaaaaaaaa")
    'Ask [EMAIL]; see /home/[USER]/x and [TOKEN]'
    """
    for name, rule in rules.items():
        if any(hint in text for hint in rule.hints):
            text = _apply(name, rule, text, counts)
    return text


def _apply(name: str, rule: Rule, text: str, counts: Counter[str] | None) -> str:
    def mark(match: re.Match[str]) -> str:
        if rule.keep(match):
            return match[0]
        if counts is not None:
            counts[name] += 1
        if "secret" not in rule.pattern.groupindex:
            return rule.mark
        start, end = (at - match.start() for at in match.span("secret"))
        return match[0][:start] + rule.mark + match[0][end:]

    return rule.pattern.sub(mark, text)


def _redact(trajectory: Trajectory, change: Text) -> Trajectory:
    task, steps = change(trajectory.task), tuple(_step(step, change) for step in trajectory.steps)
    patch = None if trajectory.patch is None else change(trajectory.patch)
    metadata = _value(dict(trajectory.metadata), change)
    return replace(trajectory, task=task, steps=steps, patch=patch, metadata=metadata)


def _step(step: Step, change: Text) -> Step:
    actions = tuple(replace(call, arguments=_value(dict(call.arguments), change)) for call in step.actions)
    return replace(
        step,
        thought=change(step.thought),
        actions=actions,
        observation=change(step.observation),
        reasoning=change(step.reasoning),
    )


def _value(value: JSON, change: Text) -> JSON:
    """Change the texts of a JSON value, keys too. Keys that become equal get a number, so that none is lost."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_value(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, JSON] = {}
    taken = set(value)
    for key, item in value.items():
        new, number = change(key), 1
        base = new
        while new in found or (new != key and new in taken):
            number += 1
            new = f"{base}~{number}"
        found[new] = _value(item, change)
    return found
