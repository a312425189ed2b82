"""Written solutions into steps: all variants of steps, texts without steps, and rows of both formats."""

import copy
import json
import subprocess
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.demo.math import problems_path, solved_path
from harness.demo.math.generate import rows as demo_rows
from srl_agent.formats import get_format
from srl_agent.steps import StepSettings, select_steps
from tests.fork_server import run_python
from tests.tiny_runs import ROOT
from tests.trajectories.reading import one, read
from trajectories.readers.detect import UnknownFormat, detect
from trajectories.solutions import (
    STEP,
    NotInSteps,
    SolutionStep,
    join_steps,
    read_step,
    split_solution,
    write_step,
)
from trajectories.store import dump_line, from_json, read_trajectories, to_json
from trajectories.types import JSON, Action


def pairs(text: str) -> list[tuple[str, str]]:
    return [(step.title, step.text) for step in split_solution(text).steps]


def reason(text: str) -> str:
    with pytest.raises(NotInSteps) as caught:
        split_solution(text)
    return str(caught.value)


# --- Ways of writing

ADD_AND_BOX = [("Add", "2 + 2 = 4."), ("Box", "It is 4.")]


@pytest.mark.parametrize(
    "text",
    [
        "1. **Add** 2 + 2 = 4.\n2. **Box** It is 4.",
        "1. **Add:** 2 + 2 = 4.\n\n2. **Box**: It is 4.\n",
        "1) **Add** 2 + 2 = 4.\n2) **Box.** It is 4.",
        " 1. **Add**\n   2 + 2 = 4.\n 2. **Box**\n   It is 4.",
        "1. **Add**\n2 + 2 = 4.\n\n2. **Box**\nIt is 4.",
        "Step 1: Add\n2 + 2 = 4.\nStep 2: Box\nIt is 4.",
        "Step 1. Add.\n2 + 2 = 4.\n\nStep 2. Box.\nIt is 4.",
        "Step 1) Add\n2 + 2 = 4.\nStep 2 Box\nIt is 4.",
        "Step 1: **Add** 2 + 2 = 4.\nStep 2: **Box** It is 4.",
        "**Step 1: Add** 2 + 2 = 4.\n**Step 2: Box**\nIt is 4.",
        "** Step 1: Add **\n2 + 2 = 4.\n** Step 2: Box **\nIt is 4.",
        "### Step 1: Add\n2 + 2 = 4.\n### Step 2: Box\n\nIt is 4.",
        "##Step 1. Add\n2 + 2 = 4.\n##Step 2. Box\nIt is 4.",
        "### **Step 1: Add**\n2 + 2 = 4.\n### **Step 2: Box**\nIt is 4.",
        "### 1. Add\n2 + 2 = 4.\n### 2. Box\nIt is 4.",
        "### 1. **Add** 2 + 2 = 4.\n### 2. **Box**\nIt is 4.",
        "## **1. Add**\n2 + 2 = 4.\n## **2. Box**\nIt is 4.",
        "**1. Add** 2 + 2 = 4.\n**2. Box:** It is 4.",
        "**1) Add**\n2 + 2 = 4.\n**2) Box**\nIt is 4.",
        "1. **Add** 2 + 2 = 4.\r\n\r\n2. **Box**\r\n   It is 4.\r\n",
    ],
)
def test_the_ways_of_writing_two_titled_steps(text: str) -> None:
    assert pairs(text) == ADD_AND_BOX


@pytest.mark.parametrize(
    "text",
    [
        "1. 2 + 2 = 4.\n2. It is 4.",
        "1) 2 + 2 = 4.\n2) It is 4.\n",
        "Step 1: 2 + 2 = 4.\nStep 2: It is 4.",
        "**Step 1**\n2 + 2 = 4.\n**Step 2**\nIt is 4.",
        "**Step 1:**\n2 + 2 = 4.\n**Step 2:**\nIt is 4.",
        "**Step 1:** 2 + 2 = 4.\n**Step 2:** It is 4.",
        "### Step 1\n2 + 2 = 4.\n### Step 2\nIt is 4.",
    ],
)
def test_the_ways_of_writing_two_steps_without_titles(text: str) -> None:
    assert pairs(text) == [("", "2 + 2 = 4."), ("", "It is 4.")]


def test_a_title_without_a_text_is_the_text() -> None:
    assert pairs("1. **Add the numbers**\n2. **Box** It is 4.")[0] == ("", "Add the numbers")
    assert pairs("### Step 1: Add\n### Step 2: Box\nIt is 4.")[0] == ("", "Add")
    assert pairs("Step 1: x = 4.\nStep 2: **Box** It is 4.")[0] == ("", "x = 4.")  # its full stop is kept


def test_an_empty_step_is_an_error() -> None:
    assert reason("Step 1:\nStep 2:\nIt is 4.") == "empty_step"
    assert reason("### Step 1\n\n### Step 2\nIt is 4.") == "empty_step"


def test_steps_without_a_title_among_titled_ones_are_steps() -> None:
    assert pairs("1. **Add** a\n2. b\n3. **Box** c") == [("Add", "a"), ("", "b"), ("Box", "c")]
    assert pairs("1. a\n2. **Add** b\n3. **Box** c") == [("", "a"), ("Add", "b"), ("Box", "c")]
    assert pairs("1. **Add** a\n2. **Box** b\n3. c") == [("Add", "a"), ("Box", "b"), ("", "c")]


# --- What is not a step


def test_lists_inside_a_step_belong_to_it() -> None:
    text = "1. **Cases** There are:\n   1. one\n   2. two\n   - three\n2. **Box** It is 4.\n  3. not a step"
    assert pairs(text) == [
        ("Cases", "There are:\n1. one\n2. two\n- three"),
        ("Box", "It is 4.\n3. not a step"),
    ]
    deeper = "1. **A** x\n   - one\n     - two\n2. **B** y"
    assert pairs(deeper)[0] == ("A", "x\n- one\n  - two")


def test_numbered_lists_between_headings_belong_to_the_headings() -> None:
    text = "### Step 1: Add\n1. two\n2. and two\n3. is four\n### Step 2: Box\nIt is 4."
    assert pairs(text) == [("Add", "1. two\n2. and two\n3. is four"), ("Box", "It is 4.")]


def test_a_list_before_or_after_titled_steps_is_no_step() -> None:
    assert pairs("We have\n1. a\n2. b\n\n1. **Add** x\n2. **Box** y") == [("Add", "x"), ("Box", "y")]
    assert split_solution("1. a\n2. b\n\n1. **Add** x\n2. **Box** y").preamble == "1. a\n2. b"
    assert pairs("1. **Add** x\n2. **Box** y\nSo\n1. z\n2. w")[1] == ("Box", "y\nSo\n1. z\n2. w")


def test_text_before_the_steps_is_the_preamble_and_text_after_them_is_in_the_last_step() -> None:
    text = "Let us see.\n\nNow:\n1. **Add** 4.\n2. **Box** It is 4.\n\n**Final answer**\n\n\\boxed{4}\n"
    solution = split_solution(text)
    assert solution.preamble == "Let us see.\n\nNow:"
    assert solution.steps[-1].text == "It is 4.\n\n**Final answer**\n\n\\boxed{4}"


def test_numbers_that_are_no_list_are_no_steps() -> None:
    assert pairs("1. **Add** We get\n2.5 and so on.\n2. **Box** It is 4.")[0] == (
        "Add",
        "We get\n2.5 and so on.",
    )
    assert pairs("1. Add\n**Stepping** on\n2. Box")[0] == ("", "Add\n**Stepping** on")
    assert reason(f"{'1' * 5000}. a\n2. b\n3. c") == "numbering_has_gaps"  # int() takes 4,300 digits at most


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "answer_only"),
        ("  \n ", "answer_only"),
        ("128", "answer_only"),
        ("$\\frac{1}{2}$\n", "answer_only"),
        ("1. **Only** one step", "answer_only"),
        ("x" * 201, "no_numbered_steps"),
        ("We add.\nIt is 4.", "no_numbered_steps"),
        ("1. **Only** one step\nof two lines", "no_numbered_steps"),
        ("1. **A** a\n2. **B** b\n1. **C** c\n2. **D** d", "numbering_restarts"),
        ("### (a)\n1. a\n2. b\n### (b)\n1. c\n2. d", "numbering_restarts"),
        ("1. **A** a\n3. **C** c", "numbering_has_gaps"),
        ("2. **B** b\n3. **C** c", "numbering_has_gaps"),
        ("0. **Z** z\n1. **A** a", "numbering_has_gaps"),
        ("1. **A** a\n2. **B** b\n2. **B** b", "numbering_has_gaps"),
        ("2. **B** b\n1. **A** a", "numbering_has_gaps"),
    ],
)
def test_a_solution_without_steps_has_a_reason(text: str, why: str) -> None:
    assert reason(text) == why


# --- There and back

WORDS = st.sampled_from(
    [
        "Add",
        "x = 2",
        "1. ",
        "2) ",
        "**",
        "**Bold** ",
        "Step 1: ",
        "### 2. ",
        "\n",
        "\n\n",
        "  ",
        ":",
        ".",
        "\r",
        "- ",
    ]
)
PIECES = st.lists(st.one_of(WORDS, st.text(max_size=6)), max_size=6).map("".join)


def _as_read(step: SolutionStep) -> SolutionStep:
    return read_step(write_step(step))


# What a reader makes of any text is nearly always writable: filtering the texts themselves loses most of them.
WRITABLE = (
    st.builds(
        lambda title, text: SolutionStep(title=title, text=text), st.one_of(st.just(""), PIECES), PIECES
    )
    .map(_as_read)
    .filter(lambda step: bool(step.text) and _as_read(step) == step)
)


@settings(max_examples=400, deadline=None)
@given(steps=st.lists(WRITABLE, min_size=2, max_size=5))
def test_steps_come_back_as_they_were_written(steps: list[SolutionStep]) -> None:
    solution = split_solution(join_steps(steps))
    assert (solution.preamble, list(solution.steps)) == ("", steps)


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(st.one_of(WORDS, st.sampled_from(["1. **A** ", "\n2. **B** ", "\n3. "])), max_size=12).map(
        "".join
    )
)
def test_read_solutions_can_be_written_and_read_again(text: str) -> None:
    try:
        steps = split_solution(text).steps
    except NotInSteps:
        return
    assert len(steps) >= 2
    assert all(step.text and "\n" not in step.title for step in steps)
    if all(read_step(write_step(step)) == step for step in steps):
        assert split_solution(join_steps(steps)).steps == steps


def test_steps_can_be_numbered_from_any_number() -> None:
    steps = [SolutionStep(title="Add", text="a\nb"), SolutionStep(title="", text="c")]
    assert join_steps(steps, first=7) == "7. **Add** a\n   b\n\n8. c"


def test_paragraphs_stay_paragraphs() -> None:
    text = "1. **Add** We add.\n\n   It is 4.\n\n2. **Box** It is 4."
    assert pairs(text)[0] == ("Add", "We add.\n\nIt is 4.")
    assert join_steps(split_solution(text).steps) == text


# --- Rows


def s1k(**changed: JSON) -> dict[str, JSON]:
    """Return a row with all columns of the card of s1K-1.1."""
    row: dict[str, JSON] = {
        "solution": "128",
        "question": "What is 2^7? ",
        "cot_type": "math",
        "source_type": "AI-MO/NuminaMath-CoT/aops_forum",
        "metadata": "{'url': None}",
        "gemini_thinking_trajectory": "I think of 7.",
        "gemini_attempt": "1. **Double** 64.\n2. **Again** 128.\n3. **Box** \\boxed{128}",
        "deepseek_thinking_trajectory": "Okay, so.",
        "deepseek_attempt": "We double.\n\n1. **Double** seven times.\n2. **Box** \\boxed{128}",
        "gemini_grade": "No",
        "gemini_grade_reason": "not the same",
        "deepseek_grade": "Yes",
        "deepseek_grade_reason": "the same",
    }
    return {key: value for key, value in (row | changed).items() if value is not ...}


def plain(**changed: JSON) -> dict[str, JSON]:
    row: dict[str, JSON] = {
        "question": "What is 2 + 2?",
        "solution": "1. **Add** 4.\n2. **Box** \\boxed{4}",
        "answer": "4",
    }
    return {key: value for key, value in (row | changed).items() if value is not ...}


def test_an_s1k_row_is_r1_s_solution() -> None:
    (trajectory,), ledger = read(s1k())
    assert (trajectory.source, trajectory.model, trajectory.resolved) == ("s1k", "DeepSeek-R1", True)
    assert trajectory.task == "What is 2^7?"
    assert [step.actions for step in trajectory.steps] == [
        (Action(name=STEP, arguments={"title": "Double", "text": "seven times."}),),
        (Action(name=STEP, arguments={"title": "Box", "text": "\\boxed{128}"}),),
    ]
    assert {step.thought + step.observation for step in trajectory.steps} == {""}
    assert trajectory.metadata == {
        "answer": "128",
        "preamble": "We double.",
        "cot_type": "math",
        "source_type": "AI-MO/NuminaMath-CoT/aops_forum",
        "metadata": "{'url': None}",
        "thinking": "Okay, so.",
        "grade_reason": "the same",
    }
    assert ledger.notes == {"text_before_the_first_step": 1}
    assert trajectory.instance_id == trajectory.trajectory_id
    assert one(s1k(question="What is 2^7?", solution="0")).instance_id != trajectory.instance_id
    assert from_json(json.loads(dump_line(trajectory))) == trajectory


@pytest.mark.parametrize(
    ("grade", "resolved"),
    [
        ("Yes", True),
        (" yes\n", True),
        ("No", False),
        ("no", False),
        ("", None),
        (None, None),
        (..., None),
        (1, None),
    ],
)
def test_the_grade_decides_resolved(grade: JSON, resolved: bool | None) -> None:
    assert one(s1k(deepseek_grade=grade)).resolved is resolved


@pytest.mark.parametrize("missing", [None, "", ...])
def test_without_r1_s_solution_gemini_s_is_taken_with_its_own_grade(missing: JSON) -> None:
    trajectory = one(s1k(deepseek_attempt=missing))
    assert (trajectory.model, trajectory.resolved, len(trajectory.steps)) == ("Gemini Thinking", False, 3)
    assert trajectory.metadata["thinking"] == "I think of 7."
    assert trajectory.metadata["grade_reason"] == "not the same"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"question": ""}, "question is missing or empty"),
        ({"question": " \n"}, "question is missing or empty"),
        ({"question": ["a"]}, "question is of type list"),
        ({"question": 0}, "question is of type int"),
        ({"solution": None}, "solution is missing or empty"),
        ({"deepseek_attempt": {"a": 1}}, "deepseek_attempt is of type dict"),
        ({"deepseek_attempt": None, "gemini_attempt": None}, "deepseek_attempt is missing or empty"),
    ],
)
def test_a_malformed_s1k_row_is_named(changed: dict[str, JSON], told: str) -> None:
    found, ledger = read(s1k(**changed), "s1k")
    assert found == []
    assert ledger.trajectories.dropped == {"malformed": 1}
    assert ledger.examples("trajectories")["malformed"] == [f"acme__w-1.json: {told}"]


@pytest.mark.parametrize(
    ("given_answer", "answer"),
    [
        ("4", "4"),
        (" 4 ", "4"),
        (4, "4"),
        (4.0, "4"),
        (0.5, "0.5"),
        (0, "0"),
        (None, None),
        (..., None),
        ("", None),
    ],
)
def test_the_answer_of_a_plain_row_is_a_text(given_answer: JSON, answer: str | None) -> None:
    assert one(plain(answer=given_answer)).metadata.get("answer") == answer


@pytest.mark.parametrize("answer", [True, [4], {"a": 4}, float("nan"), float("inf")])
def test_an_answer_of_another_type_makes_a_row_malformed(answer: JSON) -> None:
    found, ledger = read(plain(answer=answer))
    assert (found, ledger.trajectories.dropped) == ([], {"malformed": 1})


def test_plain_rows() -> None:
    trajectory = one(
        plain(question=..., problem="What?", id=7, level=3, source="a book", model="me", correct=True)
    )
    assert (trajectory.task, trajectory.source, trajectory.model, trajectory.resolved) == (
        "What?",
        "math",
        "me",
        True,
    )
    assert trajectory.metadata == {"answer": "4", "row_id": 7, "level": 3, "source": "a book"}
    assert [one(plain(correct=value)).resolved for value in (False, None, "yes", 1)] == [
        False,
        None,
        None,
        None,
    ]
    assert one(plain(question="", problem="The other")).task == "The other"
    assert one(plain(unique_id="u")).metadata["row_id"] == "u"
    assert one(plain(model={"name": "m"})).model is None


def test_formats_are_detected_from_their_columns() -> None:
    assert detect(s1k()).name == "s1k"
    assert detect([s1k(deepseek_attempt=...)]).name == "s1k"
    assert detect(plain()).name == detect([plain(question=..., problem="p")]).name == "math"
    for other in ({"question": "q"}, {"solution": "s"}, plain(solution=["s"]), plain(question=3)):
        with pytest.raises(UnknownFormat):
            detect(other)


def test_only_the_malformed_row_is_dropped_and_it_is_named() -> None:
    bad: list[JSON] = [None, [], "row", 5, {}, plain(solution=7), plain(question=None)]
    rows = [plain(), *bad, plain(question="Another?"), plain(solution="4")]
    found, ledger = read(rows)
    assert [trajectory.task for trajectory in found] == ["What is 2 + 2?", "Another?"]
    assert ledger.trajectories.read == len(rows)
    assert ledger.trajectories.dropped == {"malformed": len(bad), "answer_only": 1}
    assert ledger.examples("trajectories")["malformed"][0].startswith("acme__w-1.json row 2: ")
    assert ledger.examples("trajectories")["answer_only"] == ["acme__w-1.json row 10"]


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["1. **A** x\n2. **B** y", "\ud800", "Step 1:\nStep 2:", f"{'9' * 5000}. x\n2. y"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=4), inner, max_size=2)),
    max_leaves=4,
)  # fmt: skip
ROWS = st.builds(
    lambda row, changes, gone: {k: v for k, v in (copy.deepcopy(row) | changes).items() if k not in gone},
    st.sampled_from([s1k(), plain(), plain(question=..., problem="p", correct=True, model="m")]),
    st.dictionaries(
        st.sampled_from(sorted({*s1k(), *plain(), "problem", "id", "model", "correct", "level"})),
        JUNK,
        max_size=4,
    ),
    st.sets(st.sampled_from(sorted({*s1k(), *plain()})), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(rows=st.lists(st.one_of(ROWS, JUNK), max_size=5))
@pytest.mark.parametrize("name", ["s1k", "math"])
def test_every_row_is_counted_and_none_breaks_the_reader(name: str, rows: list[JSON]) -> None:
    found, ledger = read(rows, name)
    assert ledger.trajectories.read == len(rows)
    for trajectory in found:
        assert json.loads(dump_line(trajectory)) == json.loads(json.dumps(to_json(trajectory)))
        assert isinstance(trajectory.model, str | None)
        assert isinstance(trajectory.metadata.get("answer", ""), str)
    for row in rows:
        if not isinstance(row, list):  # as the one document of a file
            assert read(row, name)[1].trajectories.read == 1


# --- The command


def convert(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "harness.convert", *arguments, cwd=folder, env={"PYTHONPATH": str(ROOT)})


def test_the_command_converts_rows_and_accounts_for_them(tmp_path: Path) -> None:
    rows = [
        plain(),
        plain(solution="4", question="b"),
        {"oops": 1},
        plain(),
        plain(solution="1. a\n3. b"),
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=1))
    (tmp_path / "s1k.jsonl").write_text(
        json.dumps(s1k()) + "\n" + json.dumps(s1k(deepseek_attempt="128")) + "\n"
    )
    done = convert(tmp_path, "rows.json", "s1k.jsonl", "--out", "out.jsonl")
    assert done.returncode == 0, done.stderr
    found = list(read_trajectories(tmp_path / "out.jsonl"))
    name = found[0].instance_id
    assert [trajectory.trajectory_id for trajectory in found[:2]] == [
        name,
        f"{name}~2",
    ]  # the same problem twice
    assert [trajectory.source for trajectory in found] == ["math", "math", "s1k"]
    account = json.loads((tmp_path / "ledger.json").read_text())
    of_math, of_s1k = account["formats"]["math"], account["formats"]["s1k"]
    assert of_math["trajectories"] == {
        "read": 5,
        "kept": 2,
        "dropped": {"answer_only": 1, "malformed": 1, "numbering_has_gaps": 1},
    }
    assert of_s1k["trajectories"] == {"read": 2, "kept": 1, "dropped": {"answer_only": 1}}
    assert account["total"]["steps"] == {"read": 6, "kept": 6, "dropped": {}}
    examples = account["files"][0]["examples"]["trajectories"]
    assert examples["malformed"][0] == "rows.json row 3: question is missing or empty"


def test_a_file_of_answers_only_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(plain(solution="4")) + "\n")
    done = convert(tmp_path, "rows.jsonl", "--out", "out.jsonl")
    assert done.returncode == 1
    assert "answer_only: rows.jsonl:1" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


# --- The embedded problems


def test_the_embedded_problems_are_what_their_generator_makes() -> None:
    rows = demo_rows()
    assert [json.loads(line) for line in problems_path().read_text().splitlines()] == rows
    assert len({row["question"] for row in rows}) == len(rows) == 300


def test_the_embedded_solutions_are_what_the_reader_gives() -> None:
    found, ledger = read(demo_rows())
    assert found == list(read_trajectories(solved_path()))
    assert (ledger.trajectories.kept, ledger.notes) == (300, {})
    for row, trajectory in zip(demo_rows(), found, strict=True):
        last = str(trajectory.steps[-1].actions[0].arguments["text"])
        assert last == f"The answer is \\boxed{{{row['answer']}}}."
        assert trajectory.resolved is True


# --- Real solutions


@pytest.mark.realdata
def test_the_reference_solutions_of_s1k(real_data: Path) -> None:
    rows = json.loads((real_data / "math/s1k_questions_solutions_1000.json").read_text())
    found, ledger = read(rows)
    assert len(found) == 255
    counts = [len(trajectory.steps) for trajectory in found]
    assert (sum(counts), min(counts), max(counts), median(counts)) == (1803, 2, 16, 7)
    titled = [
        step for trajectory in found for step in trajectory.steps if "title" in step.actions[0].arguments
    ]
    assert (len(titled), ledger.notes) == (1287, {"text_before_the_first_step": 63})
    refs, left_out = select_steps(found, settings=StepSettings(), action_format=get_format("math-step"))
    assert (len(refs), dict(left_out)) == (1548, {})
    shown = StepSettings(show_title=True)
    refs, _ = select_steps(found, settings=shown, action_format=get_format("math-step"))
    assert len(refs) == 1547  # the text of one begins with bold words
    assert ledger.trajectories.dropped == {
        "answer_only": 379, "no_numbered_steps": 346, "numbering_restarts": 20,
    }  # fmt: skip
    for trajectory in found:
        steps = [SolutionStep(title=str(a.get("title", "")), text=str(a["text"]))
                 for a in (step.actions[0].arguments for step in trajectory.steps)]  # fmt: skip
        assert list(split_solution(join_steps(steps)).steps) == steps
