"""A few of the broken files of ``tests.trajectories.readers.fuzz``, and the files that they were made from."""

from pathlib import Path

import pytest

from tests.harness.data.test_convert import write
from tests.trajectories.readers.fuzz import FORMATS, check, make_case
from tests.trajectories.seeds import SEEDS
from trajectories.ledger import Ledger
from trajectories.readers import READERS
from trajectories.readers.pipeline import read_trajectories_of

CASES_PER_FORMAT = 64


def test_every_format_has_a_seed_that_is_read_completely(tmp_path: Path) -> None:
    assert set(SEEDS) == set(READERS)
    for name, lines in SEEDS.items():
        ledger = Ledger()
        found = list(read_trajectories_of([write(tmp_path / f"{name}.jsonl", *lines)], ledger))
        assert found, name
        assert set(ledger.by_format()) == {name}
        total = ledger.total()
        assert not total.trajectories.dropped + total.steps.dropped + total.skipped, name


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_are_reported_and_break_nothing(name: str, tmp_path: Path) -> None:
    first = FORMATS.index(name)
    for turn in range(CASES_PER_FORMAT):
        case = make_case(first + turn * len(FORMATS))
        try:
            check(case, tmp_path)
        except Exception as error:
            raise AssertionError(f"case {case.number}, read as {case.named}") from error
