"""Each filter: what it finds, and similar steps that stay. The account adds up in any order of filters."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.data.filters import FILTERS
from tests.trajectories.made import TRAJECTORIES
from trajectories import Action, Step, Trajectory
from trajectories.filters.actions import empty_actions, long_actions, made_up_submits
from trajectories.filters.base import Found, Then, on_steps
from trajectories.filters.cheating import cheating
from trajectories.filters.duplicates import Duplicates
from trajectories.filters.failed import failed_actions
from trajectories.filters.labels import labelled
from trajectories.filters.loops import loops
from trajectories.filters.pipeline import FilterPipeline
from trajectories.filters.verdicts import resolved_only
from trajectories.ledger import FileLedger, Ledger
from trajectories.types import JSON


def run(command: str, observation: str = "ok", **arguments: JSON) -> Step:
    action = Action(name="bash", arguments={"command": command, **arguments})
    return Step(thought="t", actions=(action,), observation=observation)


def edit(observation: str = "edited", **arguments: JSON) -> Step:
    arguments = {"command": "str_replace", "path": "/w/a.py", "old_str": "a", "new_str": "b"} | arguments
    action = Action(name="str_replace_editor", arguments=arguments)
    return Step(thought="t", actions=(action,), observation=observation)


def made(*steps: Step, **fields: JSON) -> Trajectory:
    known: dict[str, JSON] = {"trajectory_id": "t", "instance_id": "acme__widgets-1", "task": "Fix it."}
    return Trajectory(steps=steps, source="x", **(known | fields))


def found(find: Callable[..., Found], *steps: Step, **options: JSON) -> dict[int, str]:
    return dict(find(made(*steps), **options))


def account_of(trajectory: Trajectory) -> FileLedger:
    account = Ledger().file("f", "x")
    account.trajectory("t", len(trajectory.steps))
    return account


# Treatment of a found step.
LS, CAT = run("ls"), run("cat a")


def first(trajectory: Trajectory) -> dict[int, str]:
    return {0: "why"} if trajectory.steps else {}


def test_a_found_step_is_kept_marked_or_dropped() -> None:
    trajectory = made(LS, CAT)
    kept = on_steps(first, "keep")(trajectory)
    assert (kept.trajectory, dict(kept.notes)) == (trajectory, {"found:why": 1})
    marked = on_steps(first, "context")(trajectory)
    assert [step.target for step in marked.trajectory.steps] == [False, True]
    assert marked.notes == {"context_only:why": 1}
    assert on_steps(first, "context")(marked.trajectory).notes == {}
    twice = on_steps(lambda t: {1: "other"}, "context")(marked.trajectory)
    assert [step.target for step in twice.trajectory.steps] == [False, False]
    gone = on_steps(first, "drop_step")(trajectory)
    assert (gone.trajectory.steps, gone.steps) == ((CAT,), {0: "why"})
    assert on_steps(first, "drop_trajectory")(trajectory).dropped == "why"


def test_the_account_lists_dropped_turns_with_reasons() -> None:
    trajectory = made(LS, CAT, run("pwd"))
    account = account_of(trajectory)
    filters = [on_steps(first, "drop_step"), on_steps(lambda t: {1: "other"}, "drop_step")]
    left = FilterPipeline(filters).apply(trajectory, account)
    assert left is not None
    assert left.steps == (CAT,)
    assert account.steps.to_json() == {"read": 3, "kept": 1, "dropped": {"other": 1, "why": 1}}
    assert account.examples("steps") == {"why": ["t turn 1"], "other": ["t turn 3"]}


@pytest.mark.parametrize(
    ("then", "reason"), [("drop_step", "no_step_with_action"), ("context", "no_target_left")]
)
def test_a_trajectory_without_a_remaining_target_is_dropped(then: Then, reason: str) -> None:
    trajectory = made(LS, Step(thought="Done.", actions=(), observation=""))
    account = account_of(trajectory)
    assert FilterPipeline([on_steps(first, then)]).apply(trajectory, account) is None
    assert account.trajectories.to_json() == {"read": 1, "kept": 0, "dropped": {reason: 1}}
    account.steps.check("steps")
    assert account.steps.kept == 0


def test_without_filters_nothing_changes() -> None:
    trajectory = made(LS)
    account = account_of(trajectory)
    assert FilterPipeline().apply(trajectory, account) == trajectory
    assert account.to_json() == account_of(trajectory).to_json()


# Verdicts and labels.
@pytest.mark.parametrize(
    ("resolved", "strict", "reason"),
    [(False, False, "unresolved"), (None, True, "unverified"), (None, False, None), (True, True, None)],
)
def test_verdicts(resolved: bool | None, strict: bool, reason: str | None) -> None:
    assert resolved_only(drop_unverified=strict)(made(LS, resolved=resolved)).dropped == reason


def test_labels_add_the_licence_and_a_missing_teacher() -> None:
    label = labelled(licence="MIT", model="m")
    marked = label(made(LS, metadata={"a": 1})).trajectory
    assert (marked.metadata, marked.model) == ({"a": 1, "licence": "MIT"}, "m")
    assert label(made(LS, model="theirs")).trajectory.model == "theirs"
    assert labelled()(made(LS)).trajectory == made(LS)


# Actions.
SUBMIT = Action(name="submit", arguments={})
MADE_UP = "Since we have successfully fixed the issue and verified it works, let's submit the changes:"


def test_made_up_submits() -> None:
    invented = Step(thought=MADE_UP, actions=(SUBMIT,), observation="")
    real = Step(thought="It works. Since we have fixed it, I submit.", actions=(SUBMIT,), observation="")
    words = Step(thought="Exit due to cost limit", actions=(), observation="")
    assert found(made_up_submits, real, invented, words) == {1: "made_up_submit", 2: "exit_marker"}


@pytest.mark.parametrize(
    "action",
    [
        Action(name="bash", arguments={"command": "  \n"}),
        Action(name="bash", arguments={}),
        Action(name="str_replace_editor", arguments={"command": "create", "file_text": "x"}),
        Action(name="apply_patch", arguments={"input": ""}),
    ],
)
def test_empty_actions(action: Action) -> None:
    assert found(empty_actions, LS, Step(thought="", actions=(action,), observation="")) == {
        1: "empty_action"
    }


@pytest.mark.parametrize("name", ["", "<function=bash", "bash command", "x" * 101])
def test_unparsable_actions(name: str) -> None:
    broken = Step(thought="", actions=(Action(name=name, arguments={"command": "ls"}),), observation="")
    assert found(empty_actions, broken) == {0: "unparsable_action"}


def test_calls_that_need_no_arguments_are_not_empty() -> None:
    actions = [SUBMIT, Action(name="bash", arguments={"restart": True}), Action(name="TaskList", arguments={}),
               Action(name="mcp__server__tool", arguments={}), Action(name="finish", arguments={})]  # fmt: skip
    assert found(empty_actions, *(Step(thought="", actions=(a,), observation="") for a in actions)) == {}


def test_long_actions() -> None:
    assert found(long_actions, run("x" * 50), run("x" * 200), max_chars=100) == {1: "long_action"}


# Failed actions.
FAILED = partial(failed_actions, exit_codes=(124, 126, 127))


@pytest.mark.parametrize(
    "step",
    [
        edit("ERROR:\nNo replacement was performed, old_str `x` did not appear verbatim in /w/a.py."),
        edit("No replacement was performed. Multiple occurrences"),
        edit("Invalid `path` parameter: /w/a.py. File already exists"),
        edit("<tool_use_error>String to replace not found in file.</tool_use_error>"),
        edit("String 'def f():\n    pass' not found in a.py"),
        run("edit 1:2\nx\nend_of_edit", "Your proposed edit has introduced new syntax error(s). Please"),
        run(
            "tox",
            "/bin/bash: line 3: tox: command not found\n(Open file: n/a)\n(Current directory: /w)\nbash-$",
        ),
        run(
            "python x.py",
            "<returncode>2</returncode>\n<output>\npython: can't open file 'x.py': [Errno 2] No\n</output>",
        ),
        run("cd /w && python x.py", "bash: line 1: python: command not found\n[exit code 127]"),
        run("ls; diffstat", "a.py\nbash: diffstat: command not found\n[exit code 127]"),
        run("sleep 99", "The command printed nothing.\n[stopped: still running after 60 s]"),
        run("sleep 99", "<returncode>124</returncode>\n<output>\nhalf of it\n</output>"),
        run("git am x", "error: patch failed: a.py:1\nerror: a.py: patch does not apply"),
        run("ls b", "ls: cannot access 'b': No such file or directory"),
        Step(thought="", actions=(SUBMIT,), observation="ERROR! Your Patch is empty."),
    ],
)
def test_failed_actions(step: Step) -> None:
    assert found(FAILED, LS, step) == {1: "failed_action"}


@pytest.mark.parametrize(
    "step",
    [
        run(
            "pytest",
            "<returncode>1</returncode>\n<output>\nE   ValueError\nFAILED test_a.py::test_b\n</output>",
        ),
        run("python a.py", "Traceback (most recent call last):\nValueError: x"),
        run("grep x a", "The command printed nothing.\n[exit code 1]"),
        run("pytest", "1 failed in 0.1s\n[exit code 1]"),
        run("grep x a", "<returncode>1</returncode>\n<output>\n</output>"),
        run("ls; diffstat", "a.py\nbash: diffstat: command not found"),
        run("grep -rn Error src", "src/a.py:1: raise Error"),
        run(
            "git diff $(git merge-base HEAD origin/HEAD || git rev-parse HEAD~1)",
            "fatal: Not a valid object name origin/HEAD",
        ),
        run("rm a.py b.py", "rm: cannot remove 'b.py': No such file or directory"),
        run(
            "cat a; ls", "<returncode>0</returncode>\n<output>\ncat: a: No such file or directory\n</output>"
        ),
        edit("The file /w/a.py has been edited. ERROR: is in the text"),
        edit("The file /w/notes.txt has been edited:\nbash: x: command not found\n[exit code 127]"),
        run("true", ""),
        Step(thought="No.", actions=(), observation="ERROR: x"),
        run("make", "error: a.c: no such option" + "\n" * 1200 + "built"),
    ],
)
def test_informative_results_are_no_failures(step: Step) -> None:
    assert found(FAILED, step) == {}


# Loops.
LOOPS = partial(loops, repeats=3, longest_cycle=2)


def test_loops() -> None:
    assert found(LOOPS, CAT, LS, LS, LS, CAT) == {2: "loop", 3: "loop"}
    assert found(LOOPS, LS, CAT, LS, CAT, LS, CAT) == dict.fromkeys((2, 3, 4, 5), "loop")
    timed = [run("pytest", f"failed in 0.{n}1s") for n in range(3)]
    assert found(LOOPS, *timed) == {1: "loop", 2: "loop"}


def test_repeats_with_new_results_are_no_loops() -> None:
    assert found(LOOPS, LS, LS) == {}
    assert found(LOOPS, run("scroll_down", "a"), run("scroll_down", "b"), run("scroll_down", "c")) == {}
    assert found(LOOPS, LS, CAT, run("pwd"), LS, CAT, run("pwd"), LS, CAT, run("pwd")) == {}
    assert found(partial(LOOPS, repeats=4), LS, LS, LS) == {}


# Duplicates.
def long_trajectory(*, changed: int = 0, name: str = "t", thought: str = "t") -> Trajectory:
    steps = [run(f"sed -n '{'abcdefghij'[n % 10]}p' file_{chr(97 + n // 10)}") for n in range(60)]
    steps[:changed] = [run(f"other {chr(97 + n)}") for n in range(changed)]
    return made(*(replace(step, thought=thought) for step in steps), trajectory_id=name)


def reasons(*trajectories: Trajectory, near: float | None = 0.9) -> list[str | None]:
    apply = Duplicates(near=near)
    return [apply(trajectory).dropped for trajectory in trajectories]


def test_duplicates() -> None:
    one = long_trajectory()
    assert reasons(one, replace(one, trajectory_id="u", metadata={"a": 1})) == [None, "duplicate"]
    assert reasons(one, long_trajectory(thought="said otherwise")) == [None, "near_duplicate"]
    assert reasons(one, long_trajectory(changed=1)) == [None, "near_duplicate"]
    numbered = replace(one, steps=tuple(run(s.actions[0].arguments["command"] + " 12") for s in one.steps))
    other = replace(one, steps=tuple(run(s.actions[0].arguments["command"] + " 77") for s in one.steps))
    assert reasons(numbered, other) == [None, "near_duplicate"]


def test_different_trajectories_are_no_duplicates() -> None:
    one = long_trajectory()
    assert reasons(one, long_trajectory(changed=20)) == [None, None]
    assert reasons(one, long_trajectory(thought="said otherwise"), near=None) == [None, None]
    assert reasons(made(LS, CAT), made(LS, run("cat b"))) == [None, None]


# Cheating.
def cheats(*steps: Step, **fields: JSON) -> list[str]:
    return list(cheating(made(*steps, **fields)).values())


LOG = "1111111 one\n2222222 two\n3333333 three\n4444444 four"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("git log --oneline --all", "reads_the_future"),
        ("cd /w && git -C . log --all | grep fix", "reads_the_future"),
        ("git reflog", "reads_the_future"),
        ("git show 1234abc", "reads_the_future"),
        ("git diff HEAD 1234abcd -- a.py", "reads_the_future"),
        ("git log origin/main", "reads_the_future"),
        ("bash -c 'git fetch origin'", "reads_the_future"),
        ("curl -s https://raw.githubusercontent.com/acme/widgets/main/a.py", "fetches_the_fix"),
        ("git clone https://github.com/Acme/Widgets.git", "fetches_the_fix"),
        ("python -c 'requests.get(\"https://github.com/acme/widgets/pull/2\")'", "fetches_the_fix"),
        ("gh pr diff 12", "fetches_the_fix"),
        ("wget https://pypi.org/project/widgets", "fetches_the_fix"),
        ("pip download widgets==2.0", "installs_a_release"),
        ("python3 -m pip install -U 'Widgets>=2'", "installs_a_release"),
    ],
)
def test_looking_up_the_solution_is_cheating(command: str, reason: str) -> None:
    assert cheats(LS, run(command, LOG)) == [reason]


@pytest.mark.parametrize(
    "command",
    [
        "git log --oneline -5 && git show HEAD~1",
        "git diff && git stash && git stash pop",
        "git checkout -- a.py",
        "git show 1111111",  # git log showed it
        "pip install -e . && pip install numpy",
        "pip install widgets-extra",
        "curl http://localhost:8000/acme",
        "git clone https://github.com/other/thing",
        "gh pr create --title x",
        "echo 'git log --all' > notes.txt",
        "cat > a.sh <<'EOF'\ngit log --all\nEOF",
        "grep -rn 'git fetch' docs  # git reflog",
    ],
)
def test_ordinary_work_is_no_cheating(command: str) -> None:
    assert cheats(run("git log", LOG), run(command, "fine")) == []


def test_commits_shown_by_a_cheating_step_stay_unknown() -> None:
    assert cheats(
        run("git log --all | cat -n | head -90", f"{LOG}\n5555fff fix"), run("git show 5555fff")
    ) == [
        "reads_the_future",
        "reads_the_future",
    ]


def test_commits_and_addresses_of_the_task_may_be_read() -> None:
    url = "https://github.com/acme/widgets/issues/7"
    assert cheats(run(f"curl {url}"), task=f"See {url}.") == []
    assert cheats(run("git show 1234abc"), task="It broke in 1234abcd.") == []
    assert cheats(run("gh issue view 7"), task="Use gh to look.") == []


def test_a_repository_without_later_commits_shows_none() -> None:
    assert cheats(run("git log --oneline --all", "2222222 mine\n1111111 Initial state")) == []
    assert cheats(run("git log --oneline --all -2", "2222222 mine\n1111111 Initial state")) == [
        "reads_the_future"
    ]
    assert cheats(run("git pull", "Already up to date.")) == []
    assert cheats(run("pip install widgets", "Requirement already satisfied: widgets in /w (1.0)")) == []


def test_deleting_existing_tests() -> None:
    seen = run("ls tests", "test_a.py test_b.py")
    assert cheats(seen, run("rm tests/test_a.py")) == ["deletes_tests"]
    assert cheats(seen, run("git rm -q tests/test_b.py")) == ["deletes_tests"]
    own = run("python -c \"open('test_new.py', 'w')\"")
    assert cheats(own, run("ls", "test_new.py"), run("rm -f test_new.py")) == []
    elsewhere = run("grep -rl x", "lib/tests/test_a.py")
    assert cheats(elsewhere, run("rm test_a.py")) == []
    assert cheats(elsewhere, run("rm /w/lib/tests/test_a.py")) == ["deletes_tests"]
    assert cheats(run("rm -f test_never_seen.py /tmp/test_a.py *.pyc")) == []


def test_weakening_tests() -> None:
    test = partial(edit, path="/w/tests/test_a.py")
    two, one = "assert a == 1\nassert b == 2", "assert a == 1"
    assert cheats(test(old_str=two, new_str=one)) == ["weakens_tests"]
    assert cheats(test(old_str="def test_a():", new_str="@pytest.mark.skip\ndef test_a():")) == [
        "weakens_tests"
    ]
    assert cheats(test(old_str=one, new_str=two)) == []
    assert cheats(test(old_str=one, new_str="assert a == 3")) == []
    assert cheats(test(old_str="x", new_str=two), test(old_str=two, new_str="x")) == []  # its own assertions
    assert cheats(test(old_str="x", new_str="x\ndef test_n():\n    pytest.skip('no toml')")) == []
    assert cheats(test(old_str="def test_a():", new_str="@pytest.mark.skipif(not GPU)\ndef test_a():")) == []
    assert cheats(edit(old_str=two, new_str=one)) == []  # no test
    assert cheats(test(path="/w/tests/utils.py", old_str=two, new_str=one)) == []


def test_only_the_requested_rules_apply() -> None:
    trajectory = made(run("git fetch"), run("pip install widgets"))
    assert cheating(trajectory, rules=("installs_a_release",)) == {1: "installs_a_release"}


# Whatever the order, whatever comes in.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(TRAJECTORIES, min_size=1, max_size=4),
    st.permutations(sorted(FILTERS.keys() - {"ids"})),  # which needs a file
    st.sampled_from(["keep", "context", "drop_step", "drop_trajectory"]),
)
def test_the_account_adds_up(trajectories: list[Trajectory], names: list[str], then: str) -> None:
    options: dict[str, JSON] = {"then": then, "keep": ["m*"]}
    tables = [
        FILTERS[name](
            name=name, **{key: options[key] for key in options if key in FILTERS[name].model_fields}
        )
        for name in names
    ]
    ledger = Ledger()
    account = ledger.file("f", "x")
    pipeline = FilterPipeline([table.make() for table in tables])
    kept = []
    for trajectory in [*trajectories, *trajectories]:
        account.trajectory("t", len(trajectory.steps))
        kept.append(pipeline.apply(trajectory, account))
    ledger.check()
    left = [trajectory for trajectory in kept if trajectory is not None]
    assert account.trajectories.read == 2 * len(trajectories)
    assert account.trajectories.kept == len(left)
    assert account.steps.read == 2 * sum(len(trajectory.steps) for trajectory in trajectories)
    assert account.steps.kept == sum(len(trajectory.steps) for trajectory in left)
