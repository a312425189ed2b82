"""Whether a test task was trained on: what counts as the same text, and what the published sets share."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contamination import Overlap, overlaps

ALPHABET = ["a", "b", "c", "d"]
TEXTS = st.lists(st.sampled_from(ALPHABET), max_size=14).map(" ".join)


def one(test: str, *train: str, **settings_: Any) -> list[tuple[str, float]]:
    found = overlaps({"t": test}, [(str(i), text) for i, text in enumerate(train)], **settings_)
    return [(overlap.train, overlap.share) for overlap in found]


NINE = "one two three four five six seven eight nine"


def test_the_same_text_is_told_whatever_its_case_spaces_and_punctuation() -> None:
    for written in (NINE, NINE.upper(), NINE.replace(" ", ",\n "), f"Solve: {NINE}! Then stop."):
        assert one(NINE, written) == [("0", 1.0)]
    assert one(NINE, NINE.replace("five", "5")) == []


def test_the_share_is_of_the_test_tasks_runs() -> None:
    assert one(NINE, "one two three four five six seven eight") == [("0", 0.5)]  # one of its two runs
    assert one(NINE, "one two three four five six seven eight", share=0.51) == []
    assert one(NINE, "one two three four five six seven") == []


def test_the_runs_are_of_one_training_text() -> None:
    halves = ["one two three four five six seven eight", "two three four five six seven eight nine"]
    assert one(NINE, *halves, share=0.6) == []
    assert one(NINE, *halves) == [("0", 0.5)]  # of equals the first
    assert one(NINE, *halves, NINE) == [("2", 1.0)]  # else the one that holds the most


def test_a_short_task_is_one_run() -> None:
    assert one("What is 2 + 2?", "Tell me, what is 2+2, please") == [("0", 1.0)]
    assert one("What is 2 + 2?", "What is 2 + 3?") == []


@pytest.mark.parametrize("text", ["", " ", "? + - =", "$$"])
def test_a_task_without_a_word_is_in_no_text(text: str) -> None:
    assert one(text, "anything at all", "", text) == []
    assert overlaps({"t": text, "u": "x y"}, [("a", "so x y z")]) == [Overlap(test="u", train="a", share=1.0)]


def test_nothing_to_compare() -> None:
    assert overlaps({}, [("a", NINE)]) == []
    assert one(NINE) == []


def test_tasks_with_the_same_text_are_all_named_in_their_order() -> None:
    found = overlaps({"z": NINE, "a": NINE, "m": "else"}, [("s", NINE)])
    assert [overlap.test for overlap in found] == ["z", "a"]


@settings(max_examples=200)
@given(tests=st.lists(TEXTS, max_size=3), train=st.lists(TEXTS, max_size=3), words=st.integers(1, 5))
def test_the_share_is_what_counting_by_hand_gives(tests: list[str], train: list[str], words: int) -> None:
    found = overlaps({str(i): t for i, t in enumerate(tests)}, [(str(i), t) for i, t in enumerate(train)],
                     words=words, share=0.3)  # fmt: skip
    expected = {}
    for i, test in enumerate(tests):
        tokens = test.split()
        length = min(words, len(tokens))
        runs = (
            {" ".join(tokens[j : j + length]) for j in range(len(tokens) - length + 1)} if tokens else set()
        )
        shares = [
            sum(f" {run} " in f" {text} " for run in runs) / len(runs) if runs else 0.0 for text in train
        ]
        if shares and max(shares) >= 0.3:
            expected[str(i)] = max(shares)
    assert {overlap.test: overlap.share for overlap in found} == expected


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
    assert len(overlaps(texts(real_data, tests), texts(real_data, train).items())) == count
