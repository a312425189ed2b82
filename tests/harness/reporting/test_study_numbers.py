"""The figures of a study follow from the rows of its runs."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.reporting.data import RunData
from harness.reporting.read import read_run
from harness.reporting.study import study_markdown, study_numbers
from tests.harness.reporting.synthetic_run import KINDS, write_run
from tests.present import present
from tests.tiny_runs import ROOT

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int, RunData]]:
    """Two arms that share base and SFT; only one continues with SRL."""
    folder = tmp_path_factory.mktemp("study")
    arms = {"sft": ("sft",), "srl": ("sft", "srl")}
    return [
        # A stage's gain is divided by the number of stages: SFT of both arms has the same figures.
        (arm, seed, read_run(write_run(folder / f"{arm}-seed{seed}", seed=seed, stages=stages, gain=gain)))
        for arm, stages, gain in (("sft", arms["sft"], 0.1), ("srl", arms["srl"], 0.2))
        for seed in SEEDS
    ]


def mean(run: RunData, stage: str, step: int, name: str) -> float:
    values = [row.parts[name] for row in run.validation[stage, step].values()]
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known)


def test_arms_with_the_same_figures_are_one_point(runs: list[tuple[str, int, RunData]]) -> None:
    points = study_numbers(runs)["metrics"]["similarity"]["points"]
    assert [(p["arm"], p["stage"]) for p in points] == [
        ("sft+srl", "base"),
        ("sft+srl", "sft"),
        ("srl", "srl"),
    ]


@pytest.mark.parametrize(("name", "baseline"), [("similarity", 0.31), ("structured", 0.15)])
def test_every_point_has_its_seeds_skill_and_kinds(
    runs: list[tuple[str, int, RunData]], name: str, baseline: float
) -> None:
    table = study_numbers(runs)["metrics"][name]
    (point,) = (p for p in table["points"] if p["stage"] == "srl")
    by_seed = {seed: mean(run, "srl", 60, name) for arm, seed, run in runs if arm == "srl"}
    assert point["by_seed"] == pytest.approx(by_seed)
    overall = sum(by_seed.values()) / len(SEEDS)
    assert point["mean"] == pytest.approx(overall)
    assert present(point["skill"])["mean"] == pytest.approx((overall - baseline) / (1 - baseline), abs=1e-6)
    above = present(point["above_baseline"])
    assert above["mean"] == pytest.approx(overall - baseline)
    assert present(above["low"]) < overall - baseline < present(above["high"])
    assert set(point["by_kind"]) == set(KINDS)
    assert sum(kind["steps"] for kind in point["by_kind"].values()) == len(SEEDS) * 8 * len(KINDS)
    assert point["n"] == 8  # trajectories, the same for every seed
    assert present(table["baseline"])["mean"] == pytest.approx(baseline, abs=1e-6)


def test_differences_are_paired_by_seed_and_step(runs: list[tuple[str, int, RunData]]) -> None:
    table = study_numbers(runs)["metrics"]["similarity"]
    pairs = {(d["from"], d["to"]): d for d in table["differences"]}
    assert len(pairs) == 3
    srl = [run for arm, _, run in runs if arm == "srl"]
    expected = sum(mean(r, "srl", 60, "similarity") - mean(r, "sft", 60, "similarity") for r in srl) / 3
    assert pairs["sft+srl/sft", "srl/srl"]["mean"] == pytest.approx(expected)


def test_the_page_has_every_point_and_the_baseline(runs: list[tuple[str, int, RunData]]) -> None:
    page = study_markdown(study_numbers(runs))
    for line in ("| sft+srl | base |", "| srl | srl |", "| best baseline |", "| srl/srl − sft+srl/sft |"):
        assert line in page
    assert "bash (24)" in page


def test_figures_are_the_same_to_the_last_bit_in_every_process(tmp_path: Path) -> None:
    """Sets of names are ordered differently in each process, and a sum of floats depends on its order."""
    for seed in SEEDS:
        write_run(tmp_path / f"srl-seed{seed}", seed=seed)
    code = (
        "import json, sys; from pathlib import Path\n"
        "from harness.reporting.read import read_run; from harness.reporting.study import study_numbers\n"
        f"runs = [('srl', seed, read_run(Path(sys.argv[1]) / f'srl-seed{{seed}}')) for seed in {SEEDS}]\n"
        "print(json.dumps(study_numbers(runs)))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": str(order)}, capture_output=True, text=True, check=True,
        ).stdout
        for order in (1, 2, 3)
    }  # fmt: skip
    assert len(found) == 1
