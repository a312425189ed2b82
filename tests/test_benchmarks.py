"""The benchmarks of data run at small sizes and say what they compared; how fast is not tested."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.demo import expert_path
from tests.tiny_runs import ROOT


def benchmark(name: str, *words: object) -> dict[str, Any]:
    command = [sys.executable, f"benchmarks/{name}.py", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


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
    assert rows[42]["steps"] == original["steps"]


def test_a_source_without_trajectories_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "benchmarks/convert.py", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "no trajectory to replicate" in done.stderr
