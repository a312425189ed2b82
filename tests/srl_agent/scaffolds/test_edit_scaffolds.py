"""Oracle-edit and agentless-mini on the demo's tasks, the tree, the vote."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from harness.demo.sources import Source, load_sources
from srl_agent.formats import Message
from srl_agent.policies import Completion, ContextOverflowError, Sampling
from srl_agent.scaffolds import ScaffoldTask
from srl_agent.scaffolds.agentless_mini import AgentlessMini, list_files, read_paths
from srl_agent.scaffolds.majority import choose, normal_form
from srl_agent.scaffolds.oracle_edit import OracleEdit
from srl_agent.scaffolds.repair import show_files
from srl_agent.scaffolds.search_replace import Applied, apply_edits, parse_edits
from srl_agent.scaffolds.tree import render_tree
from tests.local_environment import LocalEnvironment, demo_task, resolves
from tests.present import present
from tests.scripted_answers import answers_in_turn, render_edits

SOURCES = load_sources()
CALC = next(source for source in SOURCES if source.instance_id == "demo__calc-1")
TASK = ScaffoldTask(
    instance_id="acme__widgets-1",
    repo="acme/widgets",
    problem_statement="Fix it.",
    shown_files=("a.py", "b.py"),
)
FILES = {"a.py": "x = 1\n", "b.py": "y = 1\n"}


def fix(source: Source) -> str:
    """The reference fix as an answer."""
    return f"<think>\nI see.\n</think>\n\n{render_edits(source.buggy(), source.correct())}"


def edit(old: str, new: str, path: str = "a.py") -> str:
    return f"### {path}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE"


class Asked:
    """A policy with prepared answers that records prompts and sampling."""

    name = "asked"

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.prompts: list[str] = []
        self.samplings: list[tuple[int, float]] = []

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        self.prompts.append(prompt[-1]["content"])
        self.samplings.append((n, sampling.temperature))
        given, self.answers = self.answers[:n], self.answers[n:]
        return [
            Completion(text=text, finish_reason="stop", prompt_tokens=1, completion_tokens=1)
            for text in given
        ]


class Overflowing:
    name = "overflowing"

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        raise ContextOverflowError("too long")


# --- oracle-edit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES[::7], ids=lambda source: source.instance_id)
def test_oracle_edit_solves_a_task_by_its_reference_fix(source: Source) -> None:
    policy = answers_in_turn({source.statement: [fix(source)]})
    with LocalEnvironment(source.buggy()) as environment:
        rollout = OracleEdit().run(demo_task(source), policy, environment)
    assert rollout.status == "submitted"
    assert resolves(source, rollout.trajectory.patch)
    (step,) = rollout.trajectory.steps
    assert step.thought == "I see."
    assert {action.name for action in step.actions} == {"search_replace"}
    assert "not applied" not in step.observation
    assert rollout.trajectory.metadata["shown_files"] == list(present(demo_task(source).shown_files))


def oracle(answer: str, files: Mapping[str, str] = FILES) -> tuple[str, str]:
    """Return the patch and the step's observation."""
    with LocalEnvironment(files) as environment:
        rollout = OracleEdit().run(TASK, Asked(answer), environment)
    return rollout.trajectory.patch or "", rollout.trajectory.steps[0].observation


def test_an_edit_inside_the_thinking_changes_nothing() -> None:
    patch, said = oracle(f"<think>Perhaps\n{edit('x = 1', 'x = 2')}\n</think>\nI do not know.")
    assert patch == ""
    assert said == "The answer has no SEARCH/REPLACE edit."


def test_a_new_file_and_a_file_that_was_not_shown() -> None:
    answer = (
        edit("z = 1", "z = 2", "c.py")
        + "\n"
        + edit("", "new = 1", "pkg/new.py").replace("SEARCH\n\n", "SEARCH\n")
    )
    patch, said = oracle(answer, {**FILES, "c.py": "z = 1\n"})
    assert "+z = 2" in patch
    assert "+new = 1" in patch
    assert said == "c.py: applied\npkg/new.py: applied"


def test_a_path_that_cannot_be_a_file_is_refused_and_the_rest_counts() -> None:
    blocked = edit("", "new = 1", "a.py/new.py").replace("SEARCH\n\n", "SEARCH\n")
    patch, said = oracle(f"{edit('x = 1', 'x = 2')}\n{blocked}")
    assert "+x = 2" in patch
    assert said.startswith("a.py: applied\na.py/new.py: not applied: it cannot be written")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (edit("x = 1", "x = ("), "nothing was kept: a.py would have a syntax error"),
        (edit("x = 1", "x = 1\n"), "nothing was kept: only blank lines would change"),
        (edit("x = 3", "x = 2"), "a.py: not applied: SEARCH does not occur in the file"),
        (edit("x = 1", "x = 2", "../a.py"), "../a.py: not applied: not a path inside the repository"),
        ("```python\nx = 2\n```", "The answer has no SEARCH/REPLACE edit."),
    ],
)
def test_why_nothing_was_kept(answer: str, said: str) -> None:
    patch, observation = oracle(answer)
    assert patch == ""
    assert said in observation


def test_a_context_that_overflows() -> None:
    with LocalEnvironment(FILES) as environment:
        for scaffold in (OracleEdit(), AgentlessMini()):
            rollout = scaffold.run(TASK, Overflowing(), environment)
            assert (rollout.status, rollout.error, rollout.trajectory.patch) == (
                "token_limit",
                "too long",
                "",
            )


@pytest.mark.parametrize("calls", range(4))
def test_a_sandbox_after_its_time_limit(calls: int) -> None:
    answer = "a.py\n" + edit("x = 1", "x = 2")
    for scaffold in (OracleEdit(), AgentlessMini()):
        with LocalEnvironment(FILES, calls=calls) as environment:
            rollout = scaffold.run(TASK, Asked(answer, answer), environment)
        assert (rollout.status, rollout.trajectory.patch) == ("time_limit", "")


def test_a_task_that_does_not_say_which_files_to_show() -> None:
    task = ScaffoldTask(instance_id="i", repo="r", problem_statement="p")
    with (
        LocalEnvironment(FILES) as environment,
        pytest.raises(ValueError, match="needs the task's shown_files"),
    ):
        OracleEdit().run(task, Asked(), environment)


def test_prompt_and_answer_apart_are_the_run() -> None:
    answer = edit("x = 1", "x = 2")
    asked = Asked(answer)
    with LocalEnvironment(FILES) as environment:
        rollout = OracleEdit().run(TASK, asked, environment)
    with LocalEnvironment(FILES) as environment:
        prompt = OracleEdit().prompt(TASK, environment)
        assert environment.submission() == ""
        step = OracleEdit().apply(answer, environment)
        assert environment.submission() == rollout.trajectory.patch != ""
    assert prompt.messages[-1]["content"] == asked.prompts[0]
    assert (step,) == rollout.trajectory.steps
    assert prompt.metadata.items() <= rollout.trajectory.metadata.items()


def test_the_rollout_names_the_files_that_its_prompt_does_not_show() -> None:
    task = replace(TASK, shown_files=("a.py", "b.py", "none.py"))
    with LocalEnvironment(FILES) as environment:
        rollout = OracleEdit(max_file_chars=8).run(task, Asked(edit("x = 1", "x = 2")), environment)
    assert {key: value for key, value in rollout.trajectory.metadata.items() if key != "repo"} == {
        "shown_files": ["a.py"],
        "left_out": ["b.py"],
        "unreadable": ["none.py"],
    }


def test_a_fix_of_new_files_only_shows_none() -> None:
    task = ScaffoldTask(instance_id="i", repo="r", problem_statement="p", shown_files=())
    policy = Asked(edit("", "new = 1", "new.py").replace("SEARCH\n\n", "SEARCH\n"))
    with LocalEnvironment(FILES) as environment:
        rollout = OracleEdit().run(task, policy, environment)
    assert "+new = 1" in (rollout.trajectory.patch or "")


def test_files_are_shown_whole_up_to_the_budget() -> None:
    files = {"a": "a" * 50, "big": "b" * 100, "c": "c\r\n" * 10}
    shown = show_files(["none", "a", "big", "c"], files.get, 80)
    assert (shown.paths, shown.left_out, shown.unreadable) == (("a", "c"), ("big",), ("none",))
    assert shown.text.startswith(f"[start of a]\n{'a' * 50}\n[end of a]\n\n[start of c]\nc\nc\n")
    assert shown.text.endswith("[end of c]\n\n[not shown for lack of space: big]")
    assert show_files(["big"], files.get, 10).paths == ("big",)


# --- agentless-mini ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", SOURCES[::11], ids=lambda source: source.instance_id)
def test_agentless_mini_solves_a_task_by_the_majority(source: Source) -> None:
    (path, *_) = present(demo_task(source).shown_files)
    right = fix(source)
    commented = render_edits(source.buggy(), {path: f"# fixed\n{source.correct()[path]}"})
    wrong = render_edits(source.buggy(), {path: f"{source.buggy()[path]}\nmore = 1\n"})
    paths = f"<think>Look there.</think>\n1. `{path}`\n- no/such/file.py\n"
    policy = Asked(paths, wrong, "no edit", right, commented, "")
    with LocalEnvironment(source.buggy()) as environment:
        rollout = AgentlessMini(samples=5, temperature=0.7).run(demo_task(source), policy, environment)
    assert rollout.status == "submitted"
    assert resolves(source, rollout.trajectory.patch)
    assert policy.samplings == [(1, 0.0), (1, 0.0), (4, 0.7)]
    assert len(rollout.completions) == 6
    chosen, repaired = rollout.trajectory.steps
    assert chosen.actions[0].arguments == {"paths": [path]}
    assert repaired.observation.endswith("[Answer 3 of 5: 2 make this change.]")
    assert f"[start of {path}]" in policy.prompts[1]


def test_the_tree_leaves_out_tests_and_says_so() -> None:
    policy = Asked("nothing")
    with LocalEnvironment(CALC.buggy()) as environment:
        rollout = AgentlessMini().run(demo_task(CALC), policy, environment)
    assert "The files of the repository (4 of 6: tests and others left out):" in policy.prompts[0]
    assert (
        "calc/\n  __init__.py\n  evaluate.py\n  lexer.py\n  parser.py\n[end of the tree]" in policy.prompts[0]
    )
    assert rollout.trajectory.patch == ""
    (step,) = rollout.trajectory.steps
    assert step.observation == "The answer names no file of the repository."


@pytest.mark.parametrize("first", ["none", edit("x = 1", "x = ("), edit("x = 1", "x = 1  # one")])
def test_no_change_that_counts_writes_nothing(first: str) -> None:
    policy = Asked("a.py", first, edit("x = 1", "x = ("))
    with LocalEnvironment(FILES) as environment:
        rollout = AgentlessMini(samples=2).run(TASK, policy, environment)
    assert rollout.trajectory.patch == ""
    assert "[None of 2 answers makes a change that counts;" in rollout.trajectory.steps[1].observation


def test_all_tracked_files_are_listed_page_by_page() -> None:
    files = {f"pkg/m{number:04d}.py": "" for number in range(1203)} | {"é.py": ""}
    with LocalEnvironment(files) as environment:
        assert list_files(environment) == sorted(files)[:1203]


def test_paths_are_read_as_models_write_them() -> None:
    tracked = {"a.py", "src/b.py", "c.py"}
    answer = "<think>c.py</think>\n```\n* **a.py**\n2) /testbed/src/b.py\na.py\nd.py\n./c.py\n```"
    assert read_paths(answer, tracked) == ("a.py", "src/b.py", "c.py")


# --- the vote ------------------------------------------------------------------------------------------------------


def applied(*answers: str, files: Mapping[str, str] = FILES) -> list[Applied]:
    return [apply_edits(parse_edits(answer).edits, files.get) for answer in answers]


@pytest.mark.parametrize(
    ("answers", "winner", "votes"),
    [
        (["2", "3", "3"], 1, 2),
        (["2", "3"], 0, 1),  # a tie goes to the earliest
        (["4", "3", "2", "2", "3"], 1, 2),
        (["3", "2  # two", "2"], 1, 2),  # comments do not tell changes apart, the first that made it stands
        (["1  # one", "1 ", "2"], 2, 1),  # a comment alone is no change
        (["(", "(", "2"], 2, 1),  # a syntax error has no vote
        (["("], None, 0),
        ([], None, 0),
    ],
)
def test_the_majority(answers: list[str], winner: int | None, votes: int) -> None:
    assert choose(applied(*(edit("x = 1", f"x = {answer}") for answer in answers))) == (winner, votes)


def test_a_comment_in_another_file_does_not_split_the_vote() -> None:
    change, remark = edit("x = 1", "x = 2"), edit("y = 1", "y = 1  # as before", "b.py")
    assert choose(applied(edit("x = 1", "x = 3"), f"{change}\n{remark}", change)) == (1, 2)


def test_other_texts_are_compared_as_they_are() -> None:
    assert normal_form("a.txt", "x  # y") == "x  # y"
    assert normal_form("a.py", "x = (") == "x = ("
    deep = "x = " + "+".join(["1"] * 5000)
    assert normal_form("a.py", deep) in (deep, normal_form("a.py", f"{deep}  # long"))


# --- the tree ------------------------------------------------------------------------------------------------------

TREE = ["a/b/c/d.py", "a/b/e.py", "a/f.py", "g.py", "h/i.py"]


@pytest.mark.parametrize(
    ("max_chars", "shown"),
    [
        (200, "a/\n  b/\n    c/\n      d.py\n    e.py\n  f.py\nh/\n  i.py\ng.py"),
        (55, "a/\n  b/\n    c/ [1 files]\n    e.py\n  f.py\nh/\n  i.py\ng.py"),
        (40, "a/\n  b/ [2 files]\n  f.py\nh/\n  i.py\ng.py"),
        (30, "a/ [3 files]\nh/ [1 files]\ng.py"),
        (25, "a/ [3 files]\n[2 more entries are not shown]"),
    ],
)
def test_the_tree_closes_folders_from_the_inside(max_chars: int, shown: str) -> None:
    assert render_tree(TREE, max_chars) == shown
