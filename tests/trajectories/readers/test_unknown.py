"""Messages about unknown documents: what they look like, and what to do."""

import pytest

from trajectories.readers.detect import UnknownFormat, detect
from trajectories.types import JSON


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"instance_id": "a__b-1", "model_patch": "diff"}, "'model_patch' (a prediction: a patch without the steps"),
        (
            {"instance_id": "a__b-1", "base_commit": "0", "problem_statement": "x"},
            "(a task without a trajectory: name the file in the tasks of a recipe)",
        ),
        ({"trial_name": "a", "verifier_result": {}}, "(the result of a Harbor trial: give the trial's folder)"),
        ([{"chosen": "a", "rejected": "b"}] * 3, "a list of 3 that begins with an object with the keys 'chosen'"),
        ({"prompt": "a", "completion": "b"}, "(a prompt and an answer, without steps)"),
        ({"input_ids": [1], "labels": [1]}, "(tokens: give the text they were made of)"),
        ({"silly": 1}, "an object with the keys 'silly' is of none of the formats"),
        ({}, "an empty object"),
        ([], "a list of 0"),
        ([[1], None], "a list of 2 is of none"),
        (None, "a NoneType"),
        ({1: 2}, "an object with the keys '1'"),
    ],
)  # fmt: skip
def test_an_unknown_document_is_described(value: JSON, words: str) -> None:
    with pytest.raises(UnknownFormat) as error:
        detect(value)
    assert words in str(error.value)
