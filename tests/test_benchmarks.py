"""The benchmarks of data run at small sizes and say what they compared; how fast is not tested."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny_math_model import problems, samples
from harness.demo import expert_path
from tests.fork_server import run_python
from tests.tiny_runs import ROOT, recipe, run
from trajectories.store import read_trajectories


def run_benchmark(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    return run_python(f"benchmarks/{name}.py", *map(str, words), env={"PYTHONPATH": str(ROOT)}, timeout=500)


def benchmark(name: str, *words: object) -> dict[str, Any]:
    done = run_benchmark(name, *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of raw trajectories: rows with ids of their own, one file without, and what is none."""
    folder = tmp_path / "raw"
    folder.mkdir()
    messages = [
        {"role": "user", "content": "Fix it"},
        {
            "role": "assistant",
            "content": "Look.\n\n<function=bash>\n<parameter=command>ls</parameter>\n</function>",
        },
        {"role": "user", "content": "OBSERVATION:\na.py"},
    ]
    rows: list[Any] = [{"instance_id": "acme__w-1", "messages": messages, "traj_id": "t1"}, {"silly": 1}]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "alone.json").write_text(json.dumps({"messages": messages}, indent=1))
    (folder / "readme.txt").write_text("none")
    return folder


def test_converting_is_compared_at_every_size(raw: Path) -> None:
    found = benchmark("convert", "--sizes", 3, 50)
    assert [row["trajectories"] for row in found["sizes"]] == [3, 50]
    for row in found["sizes"]:
        assert (
            row["stock"].keys() == row["ours"].keys() >= {"seconds", "megabytes_per_second", "peak_megabytes"}
        )
    found = benchmark("convert", raw, "--sizes", 5)
    assert [row["trajectories"] for row in found["sizes"]] == [5]


def test_starts_are_compared_over_the_same_rows() -> None:
    found = benchmark("startup", "--sizes", 60)
    (row,) = found["sizes"]
    starts = [row[f"{kind}_{start}"] for kind in ("stock", "ours") for start in ("first", "second")]
    assert len({start["rows"] for start in starts}) == 1
    assert starts[0]["rows"] > 60


def test_copies_have_ids_of_their_own(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, 'benchmarks')\n"
        "from pathlib import Path; from copies import read_originals, write_copies\n"
        f"print(write_copies(read_originals(Path({str(expert_path())!r})), 100, Path(sys.argv[1])))"
    )
    out = tmp_path / "copies.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == 100
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len({row["trajectory_id"] for row in rows}) == 100
    original = json.loads(expert_path().read_text().splitlines()[0])
    assert rows[72]["steps"] == original["steps"]


def test_a_source_without_trajectories_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "benchmarks/convert.py", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no trajectory to replicate" in done.stderr


# --- a study on one GPU, tried on a CPU -----------------------------------------------------------------------


def gpu_study(*words: object) -> subprocess.CompletedProcess[str]:
    return run_benchmark("gpu_study", *words)


@pytest.fixture(scope="module")
def packed(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu") / "input"
    done = gpu_study("pack", folder, "--model", tiny_model, "--steps", expert_path())
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_size < 60_000_000 for path in folder.iterdir())
    return folder


def test_the_gpu_study_trains_and_measures_every_arm(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.json"
    small: list[object] = ["--device", "cpu", "--budget", 0.02, "--updates", 2]
    small += ["--sft-budget", 0.02, "--sft-updates", 2, "--seeds", 3, "--set", "data.validation_steps=6"]
    done = gpu_study("run", packed, "--out", out, *small)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["study"] == "finished"
    arms = ("sft_longer", "similarity", "structured", "structured_fast")
    assert sorted(found["finished"]) == [f"{arm}-seed3" for arm in arms]
    assert found["metrics"].keys() == {"similarity", "structured"}
    points = {(p["arm"], p["stage"]) for p in found["metrics"]["structured"]["points"]}
    assert {name for arm, _ in points for name in arm.split("+")} == set(arms)
    assert {stage for _, stage in points} == {"base", "sft", "srl"}
    assert found["update"]["tokens_ours"] < found["update"]["tokens_stock"]


def test_a_gpu_study_without_time_says_so(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "study.json"
    done = gpu_study("run", packed, "--out", out, "--device", "cpu", "--minutes", 0.02)
    assert done.returncode == 1
    assert "no run came to its end (stopped at the limit)" in done.stderr
    assert out.with_suffix(".log").exists()


def test_a_gpu_study_names_a_wrong_override(packed: Path, tmp_path: Path) -> None:
    done = gpu_study("run", packed, "--device", "cpu", "--out", tmp_path / "out.json", "--set", "seed")
    assert done.returncode == 1
    assert "--set override 'seed': write key=value" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda piece: piece.unlink(), "this piece is missing"),
        (lambda piece: piece.write_bytes(piece.read_bytes()[:-1]), "this piece is damaged; copy it again"),
        (lambda piece: (piece.parent / "pieces.json").unlink(), "make the folder with `gpu_study.py pack`"),
    ],
)
def test_a_gpu_study_names_a_piece_that_is_not_whole(
    packed: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder = shutil.copytree(packed, tmp_path / "input")
    spoil(folder / "input.tar.000")
    done = gpu_study("run", folder, "--device", "cpu", "--out", tmp_path / "out.json")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


# --- the start of the math study ------------------------------------------------------------------------------


def test_a_start_of_the_math_study_comes_with_problems_that_it_has_not_seen(tmp_path: Path) -> None:
    done = run_benchmark("tiny_math_model", tmp_path, "--updates", 1, "--direct", 0.7, "--more", 5)
    assert done.returncode == 0, done.stderr
    fresh = {trajectory.task for trajectory in read_trajectories(tmp_path / "problems.jsonl")}
    assert len(fresh) == 5
    assert not fresh & {trajectory.task for trajectory in problems(8, seed=1)}
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize("direct", [0.0, 1.0])
def test_direct_solutions_are_the_answer_alone(direct: float) -> None:
    pairs = itertools.islice(samples(problems(1, seed=1), seed=1, direct=direct), 40)
    whole = [answer for prompt, answer in pairs if "<think>" not in answer]
    assert len(whole) > 5
    assert all(answer.startswith("1. **Answer**") == (direct == 1.0) for answer in whole), whole[0]


# --- two builds -----------------------------------------------------------------------------------------------


def test_updates_of_two_builds_are_compared_at_equal_tokens() -> None:
    words = ("update", "--baseline", "HEAD", "--turns", 1, "--prompts", 2, "--group", 2, "--tokens", 4)
    found = benchmark("builds", *words, "--micro-batch", 2, "--last-layers", 3)
    assert found["tokens"] == 4
    assert found["update"].keys() == {"baseline", "ours", "ratio"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("builds", "update", "--baseline", "nosuch"), "--baseline nosuch: git has no such commit here"),
        (("builds", "update", "--tokens", 0), "argument --tokens: '0' is not an integer of at least 1"),
        (
            ("builds", "update", "--micro-batch", 12),
            "--micro-batch 12: whole groups of 8, a divisor of 16 rows",
        ),
        (("builds", "train", "--busy", -1), "--busy: 0 or a number of processes"),
        (("builds", "train", "--turns", 2), "unrecognized arguments: --turns 2"),
        (("gpu_study", "pack", "x", "--model", "./nosuch"), "model './nosuch': no such folder"),
        (("gpu_study", "pack", "x", "--steps", "nosuch.jsonl"), "--steps nosuch.jsonl: no such file"),
        (("gpu_study", "run", "x", "--updates", 0), "argument --updates: 0: not above 0"),
        (("tiny_math_model", "x", "--more", -3), "--more: 0 or a number of problems"),
        (("tiny_math_model", "x", "--direct", 70), "--direct: a share from 0 to 1"),
    ],
)
def test_bad_input_of_a_benchmark_is_named(words: tuple[str, object], message: str) -> None:
    done = run_benchmark(*words)
    assert done.returncode
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (ROOT / "x").exists()


# --- a wording ------------------------------------------------------------------------------------------------


def test_a_wording_is_compared_at_the_same_weights(tiny_model: Path, tmp_path: Path) -> None:
    rewards = [{"name": "tests.plugin_rewards:letters"}]
    path = recipe(tmp_path, tiny_model, stages=["sft"], rewards=rewards)
    assert run(str(path), "sft.trl.max_steps=1", "sft.trl.save_steps=1", "sft.keep=last").returncode == 0
    before = tmp_path / "before.json"
    before.write_text(json.dumps({"one step at a time": "step by step"}))
    found = benchmark("wording", tmp_path / "run", "--stage", "sft", "--before", before)
    assert found["after"]["n"] == found["before"]["n"] == found["difference"]["n"] > 0
    before.write_text(json.dumps({"not in any prompt": "x"}))
    refused = run_benchmark("wording", tmp_path / "run", "--stage", "sft", "--before", before)
    assert refused.returncode != 0
    assert "no prompt holds any of" in refused.stderr


def test_claude_sessions_are_made_and_converted() -> None:
    line = [sys.executable, "benchmarks/claude_sessions.py", "--lines", "60", "120", "--turns", "1"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    sizes = json.loads(done.stdout.splitlines()[-1])["sizes"]
    assert [(size["lines"], size["ours"]["trajectories"]) for size in sizes] == [(60, 1), (120, 1)]
    assert [size["ours"]["steps"] for size in sizes] == [11, 21]
