"""Redacted texts, texts that stay, and the same treatment of all fields."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.trajectories.made import TRAJECTORIES
from trajectories import Action, Step, Trajectory
from trajectories.filters.redaction import RULES, redact, redacted

KEY = (
    f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{'Ab3+' * 16}\n-----END RSA PRIVATE KEY-----"
)
SECRETS = [
    ("private_key", f"k = '''{KEY}'''", "k = '''[PRIVATE_KEY]'''"),
    ("private_key", KEY.replace("\n", "\\n"), "[PRIVATE_KEY]"),
    ("private_key", f"-----BEGIN PRIVATE KEY-----\n{'Ab3+' * 16}\n{'Ab3+' * 16}\n…", "[PRIVATE_KEY]\n…"),
    ("token", "AKIA" + "Z" * 16 + " x", "[TOKEN] x"),
    ("token", "t=ghp_" + "a1" * 18, "t=[TOKEN]"),
    ("token", "sk-ant-api03-" + "a1_-" * 8, "[TOKEN]"),
    ("token", "sk-" + "a1" * 20, "[TOKEN]"),
    ("token", "hf_" + "a" * 34, "[TOKEN]"),
    ("token", "AIza" + "a" * 35, "[TOKEN]"),
    ("token", "xoxb-1234567890-abc", "[TOKEN]"),
    ("token", f"eyJ{'a' * 12}.eyJ{'b' * 12}.{'c' * 12}", "[TOKEN]"),
    ("authorization", "-H 'Authorization: Bearer abcdef0123456789'", "-H 'Authorization: Bearer [TOKEN]'"),
    ("url_login", "https://ann:s3cr3t@db.acme.io/x", "https://[LOGIN]@db.acme.io/x"),
    ("email", "Ann <ann.b+c@mail.acme.co.uk>, x", "Ann <[EMAIL]>, x"),
    ("home", "cd /home/ann/w && ls /Users/bob", "cd /home/[USER]/w && ls /Users/[USER]"),
    ("home", "C:\\Users\\Ann\\x", "C:\\Users\\[USER]\\x"),
    ("home", "~/.claude/projects/-home-ann-w", "~/.claude/projects/-home-[USER]"),
]


@pytest.mark.parametrize(("rule", "text", "clean"), SECRETS)
def test_secrets_are_replaced_and_counted(rule: str, text: str, clean: str) -> None:
    counts = Counter[str]()
    assert redact(text, counts=counts) == clean
    assert set(counts) == {rule}


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----",  # code that looks for one
        "if key.startswith('sk-') or 'ghp_' in key:",
        "sk-learn-contrib/imbalanced-learn",
        "from x import test@pytest.fixture",
        "out = a@b.mT; y = q@k.to(device)",
        "ann@example.com, b@test.example.org, c@localhost.invalid",
        "git@github.com:acme/widgets.git",
        "noreply@anthropic.com",
        "ubuntu@ip-172-31-16-122.ec2.internal",
        "http://user:pass@example.com, ftp://user:p%40ss@host.net",
        "/home/ubuntu/x /home/runner/w /root/y",
        "router.get('/home', show) # var/home/x",
        "eyJ is not a token",
        "Authorization: Bearer <token>",
    ],
)
def test_examples_and_code_are_not_redacted(text: str) -> None:
    assert redact(text) == text


def test_all_texts_are_redacted_and_ids_stay() -> None:
    mail = "ann@acme.com"
    step = Step(
        thought=mail, actions=(Action(name="bash", arguments={"command": mail, mail: [mail, {"a": mail}]}),),
        observation=mail, target=False,
    )  # fmt: skip
    trajectory = Trajectory(
        trajectory_id=mail, instance_id=mail, task=mail, steps=(step,), source="x", patch=mail,
        metadata={"repo": "/home/ann/w"},
    )  # fmt: skip
    outcome = redacted()(trajectory)
    clean = outcome.trajectory
    assert (clean.trajectory_id, clean.instance_id) == (mail, mail)
    assert (clean.task, clean.patch, clean.metadata) == ("[EMAIL]", "[EMAIL]", {"repo": "/home/[USER]/w"})
    assert clean.steps[0].actions[0].arguments == {
        "command": "[EMAIL]",
        "[EMAIL]": ["[EMAIL]", {"a": "[EMAIL]"}],
    }
    assert (clean.steps[0].thought, clean.steps[0].observation, clean.steps[0].target) == (
        "[EMAIL]",
        "[EMAIL]",
        False,
    )
    assert outcome.notes == {"redacted:email": 8, "redacted:home": 1}


def test_keys_that_become_equal_lose_nothing() -> None:
    arguments = {"a@acme.com": 1, "b@acme.com": 2, "[EMAIL]": 3}
    trajectory = Trajectory(
        trajectory_id="t", instance_id="i", task="x", source="x",
        steps=(Step(thought="", actions=(Action(name="x", arguments=arguments),), observation=""),),
    )  # fmt: skip
    clean = redacted()(trajectory).trajectory.steps[0].actions[0].arguments
    assert sorted(clean.values()) == [1, 2, 3]
    assert clean["[EMAIL]"] == 3


def test_only_the_requested_rules_apply() -> None:
    trajectory = Trajectory(
        trajectory_id="t", instance_id="i", task="ann@acme.com /home/ann/x", steps=(), source="x"
    )
    assert redacted(rules=("home",))(trajectory).trajectory.task == "ann@acme.com /home/[USER]/x"


@pytest.mark.parametrize(
    "text",
    ["/Users/bob/home/k", "a@acme.com+x@acme.com", f"-home-{'a' * 32}-home-b", "/home/a-home-b/home/c"],
)
def test_a_second_run_finds_nothing_after_a_mark(text: str) -> None:
    assert redact(redact(text)) == redact(text) != text


PIECES = st.sampled_from(
    [text for _, text, _ in SECRETS]
    + [rule.mark for rule in RULES.values()]
    + [*"@./-+:a\\\n ", "://", "com", "/home/", "-home-", "~2", "eyJ", "sk-"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_redaction_is_idempotent(text: str) -> None:
    once = redact(text)
    counts = Counter[str]()
    assert redact(once, counts=counts) == once
    assert not counts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TRAJECTORIES)
def test_a_trajectory_without_secrets_is_unchanged(trajectory: Trajectory) -> None:
    outcome = redacted()(trajectory)
    if not outcome.notes:
        assert outcome.trajectory is trajectory
    assert len(outcome.trajectory.steps) == len(trajectory.steps)
