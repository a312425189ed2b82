"""Evaluated tasks in training data: what matches by which cause, and what the published sets share."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.convert import main as convert
from harness.data.contamination import (
    EvaluatedTask,
    Match,
    Trained,
    find_contamination,
    patch_keys,
    trained_of,
)
from harness.data.contamination_gate import evaluated_tasks, trained_trajectories
from harness.evaluation.tasks import evaluation_set
from trajectories import Step, Trajectory

ALPHABET = ["a", "b", "c", "d"]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=14).map(" ".join)


def found(tests: dict[str, str], train: list[str], **settings_: Any) -> tuple[Match, ...]:
    held = [EvaluatedTask(evaluation="e", name=name, text=text) for name, text in tests.items()]
    trained = [Trained(name=str(i), where=f"f:{i}", text=text) for i, text in enumerate(train)]
    return find_contamination(held, trained, **settings_).matches


def one(test: str, *train: str, **settings_: Any) -> list[tuple[str, float | None]]:
    matches = found({"t": test}, list(train), **settings_)
    assert all(match.causes == ("text",) for match in matches)
    return [(match.trained, match.share) for match in matches]


NINE = "one two three four five six seven eight nine"


def test_text_is_compared_without_case_spaces_and_punctuation() -> None:
    for written in (NINE, NINE.upper(), NINE.replace(" ", ",\n "), f"Solve: {NINE}! Then stop."):
        assert one(NINE, written) == [("0", 1.0)]
    assert one(NINE, NINE.replace("five", "5")) == []


def test_the_share_is_of_the_evaluated_tasks_ngrams() -> None:
    assert one(NINE, "one two three four five six seven eight") == [("0", 0.5)]  # one of its two runs
    assert one(NINE, "one two three four five six seven eight", share=0.51) == []
    assert one(NINE, "one two three four five six seven") == []


def test_the_ngrams_are_of_one_training_text() -> None:
    halves = ["one two three four five six seven eight", "two three four five six seven eight nine"]
    assert one(NINE, *halves, share=0.6) == []
    assert one(NINE, *halves, NINE) == [("0", 0.5), ("1", 0.5), ("2", 1.0)]  # each that holds enough is named


def test_a_short_task_is_one_ngram() -> None:
    assert one("What is 2 + 2?", "Tell me, what is 2+2, please") == [("0", 1.0)]
    assert one("What is 2 + 2?", "What is 2 + 3?") == []


@pytest.mark.parametrize("text", ["", " ", "? + - =", "$$"])
def test_a_task_without_a_word_is_in_no_text(text: str) -> None:
    assert one(text, "anything at all", "", text) == []
    (match,) = found({"t": text, "u": "x y"}, ["so x y z"])
    assert (match.instance, match.trained, match.share) == ("u", "0", 1.0)


def test_nothing_to_compare() -> None:
    assert found({}, [NINE]) == ()
    assert one(NINE) == []


def test_tasks_with_the_same_text_are_all_named_in_their_order() -> None:
    matches = found({"z": NINE, "a": NINE, "m": "else"}, [NINE])
    assert [match.instance for match in matches] == ["z", "a"]


@settings(max_examples=200)
@given(tests=st.lists(TEXTS, max_size=3), train=st.lists(TEXTS, max_size=3), words=st.integers(1, 5))
def test_the_share_agrees_with_counting_by_hand(tests: list[str], train: list[str], words: int) -> None:
    matches = found({str(i): text for i, text in enumerate(tests)}, train, words=words, share=0.3)
    expected: dict[tuple[str, str], float] = {}
    for i, test in enumerate(tests):
        tokens = test.split()
        length = min(words, len(tokens))
        runs = (
            {" ".join(tokens[j : j + length]) for j in range(len(tokens) - length + 1)} if tokens else set()
        )
        shares = [
            sum(f" {run} " in f" {text} " for run in runs) / len(runs) if runs else 0.0 for text in train
        ]
        expected |= {(str(i), str(at)): share for at, share in enumerate(shares) if share >= 0.3}
    assert {(match.instance, match.trained): match.share for match in matches} == expected


# --- The other causes

BASE = "0123456789abcdef0123456789abcdef01234567"
GOLD = """\
diff --git a/src/calc/core.py b/src/calc/core.py
--- a/src/calc/core.py
+++ b/src/calc/core.py
@@ -1,3 +1,4 @@ def f():
 kept
-    return a  +  b
+    return a - b
+    # done
 kept
"""
TASK = EvaluatedTask(
    evaluation="verified",
    name="acme__calc-1",
    text=NINE,
    instance_id="acme__calc-1",
    repo="acme/calc",
    base_commit=BASE,
    patch=GOLD,
)


def trajectory(**changes: Any) -> Trajectory:
    table = {
        "trajectory_id": "t",
        "instance_id": "x",
        "task": "Nothing like it.",
        "steps": (
            Step(thought="", actions=(), observation=BASE),
        ),  # what a `git log` showed is nobody's base
        "source": "openai",
        "metadata": {},
        **changes,
    }
    return Trajectory(**table)


def causes(**changes: Any) -> tuple[str, ...]:
    found = find_contamination([TASK], [trained_of(trajectory(**changes), "f:1")])
    return found.matches[0].causes if found.matches else ()


def test_a_clean_trajectory_has_no_cause() -> None:
    assert causes() == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"instance_id": "acme__calc-1"}, ("instance",)),
        ({"instance_id": "Acme__Calc-1"}, ("instance",)),
        ({"instance_id": "acme__calc-1_7"}, ("instance",)),
        ({"instance_id": "acme__calc-12"}, ()),
        ({"metadata": {"base_commit": BASE}}, ("commit",)),
        ({"metadata": {"prompt": f"compare with the base commit {BASE}."}}, ("commit",)),
        ({"task": f"broken since {BASE}"}, ("commit",)),
        ({"task": f"blob {BASE}00"}, ()),
        ({"metadata": {"base_commit": BASE[:-1] + "8"}}, ()),
        ({"instance_id": f"acme__calc.{BASE[:8]}.pr_7"}, ("commit",)),
        ({"instance_id": f"other__calc.{BASE[:8]}.pr_7"}, ()),
        ({"patch": GOLD}, ("patch",)),
        ({"task": f"Solve: {NINE}"}, ("text",)),
        ({"instance_id": "acme__calc-1", "patch": GOLD, "task": NINE}, ("instance", "patch", "text")),
    ],
)
def test_each_cause(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert causes(**changes) == expected


def test_a_patch_is_the_same_without_its_context_white_space_and_other_files() -> None:
    moved = GOLD.replace(" kept\n", "").replace("-1,3 +1,4", "-41 +41,2").replace("a  +  b", "a + b")
    extra = "--- /dev/null\n+++ b/reproduce.py\n@@ -0,0 +1 @@\n+print(1)\n"
    assert patch_keys(moved) == patch_keys(GOLD)
    assert causes(patch=extra + moved) == ("patch",)
    assert causes(patch=GOLD.replace("a - b", "a - c")) == ()
    assert causes(patch=GOLD.replace("core.py", "base.py")) == ()
    assert causes(patch=extra) == ()


PRO = f"instance_Acme__Calc-{BASE}-v1a2b"


@pytest.mark.parametrize(
    ("evaluated", "trained", "same"),
    [
        (PRO, PRO.removeprefix("instance_"), True),
        (PRO, PRO.partition("-v")[0], True),
        (PRO.partition("-v")[0].lower(), PRO, True),
        (PRO, f"{PRO}_3", True),
        (PRO, f"instance_Acme__Calc-{BASE[::-1]}-v1a2b", False),
        ("acme__calc-1", "acme__calc-1__AbCdEfg", True),
        ("acme__calc-1_0", "Acme__Calc-1_12", True),
        ("acme__calc-1", "acme__calc-10", False),
    ],
)
def test_ids_of_a_task_are_the_same_however_they_are_written(
    evaluated: str, trained: str, same: bool
) -> None:
    task = EvaluatedTask(evaluation="e", name="a", text="x", instance_id=evaluated)
    found = find_contamination([task], [trained_of(trajectory(instance_id=trained), "f:1")])
    assert [match.causes for match in found.matches] == ([("instance",)] if same else [])


def test_a_patch_of_two_files_needs_both() -> None:
    both = GOLD + GOLD.replace("core", "more")
    task = EvaluatedTask(evaluation="e", name="a", text="x", patch=both)
    for patch, count in ((GOLD, 0), (both, 1), (GOLD.replace("core", "more") + GOLD, 1)):
        assert len(find_contamination([task], [trained_of(trajectory(patch=patch), "f:1")]).matches) == count


def test_what_cannot_be_checked_is_counted() -> None:
    trained = [
        trained_of(trajectory(), "f:1"),
        trained_of(trajectory(task=f"broken since {BASE}", patch=GOLD), "f:2"),  # a commit, but not its base
        trained_of(trajectory(metadata={"base_commit": BASE}, patch="no diff"), "f:3"),
    ]
    found = find_contamination([TASK], trained)
    assert {cause: row["not_checked"] for cause, row in found.by_cause().items()} == {
        "instance": 0, "commit": 2, "patch": 2, "text": 0,
    }  # fmt: skip
    assert found.by_cause()["commit"]["trained_on"] == 2
    problems = find_contamination([EvaluatedTask(evaluation="e", name="p", text=NINE)], trained)
    assert list(problems.by_cause()) == ["text"]  # a problem has nothing else


def test_a_match_is_allowed_only_if_all_its_causes_are() -> None:
    found = find_contamination([TASK], [trained_of(trajectory(instance_id="acme__calc-1", task=NINE), "f:1")])
    assert len(found.not_allowed(["text"])) == 1
    assert found.not_allowed(["instance", "text"]) == []


def test_two_sides_of_one_split_are_not_compared() -> None:
    own = Trained(name="a", where="w", text=NINE, split_from="verified")
    assert find_contamination([TASK], [own]).matches == ()


# --- The published sets


def texts(real_data: Path, name: str) -> dict[str, str]:
    file = real_data / "math" / name
    text = file.read_text(encoding="utf-8")
    rows = json.loads(text) if file.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    return {str(i): row.get("problem") or row.get("question") or row["Problem"] for i, row in enumerate(rows)}


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("tests", "train", "count"),
    [
        ("math500.jsonl", "math_test_5000.jsonl", 500),  # it is a part of it
        ("math500.jsonl", "s1k_questions_solutions_1000.json", 4),
        ("math500.jsonl", "aime_1983_2023_train.json", 7),
        ("aime24.jsonl", "s1k_questions_solutions_1000.json", 0),
        ("aime25.jsonl", "s1k_questions_solutions_1000.json", 0),
        ("amc23.jsonl", "s1k_questions_solutions_1000.json", 0),
        ("gsm8k_test.jsonl", "s1k_questions_solutions_1000.json", 0),
        ("minerva_math.jsonl", "s1k_questions_solutions_1000.json", 0),
    ],
)
def test_what_the_published_sets_share(real_data: Path, tests: str, train: str, count: int) -> None:
    matches = found(texts(real_data, tests), list(texts(real_data, train).values()))
    assert len({match.instance for match in matches}) == count


# Set -> (trajectories, of Verified, of Lite): every one of the first by at least two causes.
REAL = {
    "sweagent_claude35sonnet_verified": (502, 502, 94),
    "mini_swe_agent": (502, 500, 93),
    "openhands_claude35sonnet_verified50": (50, 50, 8),
    "openhands_other": (42, 36, 9),  # the ids are those of conversations: found by commit and text
    "moatless_claude35sonnet_lite271": (285, 88, 285),
    "isobench_trae_sonnet45": (278, 0, 0),
    "swesmith": (10, 0, 0),
    "claude_code": (55, 0, 0),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_every_trajectory_of_an_evaluation_is_found_and_no_other(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    store = tmp_path / "store.jsonl"
    assert convert([str(real_data / "trajectories" / name), "--out", str(store)]) == 0
    trained = list(trained_trajectories(store))
    counts = [len(trained)]
    for file in ("swebench_verified_500.jsonl", "swebench_lite_test_300.jsonl"):
        tasks = evaluated_tasks(evaluation_set(str(real_data / "swebench" / file)), file)
        known = {task.instance_id for task in tasks}
        causes: dict[str, int] = {}
        for match in find_contamination(tasks, trained).matches:
            causes[match.where] = max(causes.get(match.where, 0), len(match.causes))
        assert {one.where for one in trained if one.instance_id in known} <= causes.keys()
        if "verified" in file:
            assert min(causes.values(), default=2) >= 2
        counts.append(len(causes))
    assert tuple(counts) == REAL[name]
