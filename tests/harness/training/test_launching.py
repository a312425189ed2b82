"""Training in several processes: launcher configurations, and vLLM."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

from harness.train import main as train
from harness.training.validation import share_of
from tests.tiny_runs import ROOT, launched, recipe, run, whole_lines

FILES = sorted((ROOT / "harness/recipes/accelerate").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_accelerate_reads_every_configuration_and_knows_every_key(path: Path) -> None:
    table = yaml.safe_load(path.read_text())
    config = load_config_from_file(str(path))  # raises for a key that it does not know
    assert isinstance(config, ClusterConfig)
    assert config.num_processes == 8
    assert table["mixed_precision"] == "no"  # the recipe says it, by trl.bf16


def test_the_configurations_are_those_of_the_page() -> None:
    page = (ROOT / "docs/scale.md").read_text()
    assert [path.stem for path in FILES] == ["ddp", "fsdp2", "zero2", "zero3"]
    assert all(f"`{path.name}`" in page for path in FILES)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would train")
def test_vllm_without_cuda_is_refused_before_there_is_a_run(tiny_model: Path, tmp_path: Path) -> None:
    done = run(str(recipe(tmp_path, tiny_model)), "srl.trl.use_vllm=true")
    assert done.returncode == 2
    assert done.stderr.startswith("error: srl.trl.use_vllm: weights are handed to vLLM by CUDA")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="here it would train")
def test_the_smoke_script_says_that_it_cannot_run_here() -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "benchmarks/vllm_smoke.sh"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "1000 256 256 -"),
        ({"LRU_CACHE_CAPACITY": "7", "GOMP_SPINCOUNT": "5"}, "5 256 7 -"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "- 256 256 ACTIVE"),
    ],
)
def test_a_command_sets_what_counts_before_torch_unless_the_user_did(
    given: dict[str, str], found: str
) -> None:
    names = ("GOMP_SPINCOUNT", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY", "OMP_WAIT_POLICY")
    show = f"print(*(os.environ.get(name, '-') for name in {names}), 'torch' in sys.modules)"
    code = f"import os, sys; from harness.cli import run; run(lambda: {show})"
    clean = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [*found.split(), "False"]


# --- weights that are split over two processes ------------------------------------------------------------------

# ZeRO-3 is run where DeepSpeed is installed. It computes on a CPU if accelerate is not told to.
ENGINES = {"fsdp2": (), "zero3": ("sft.trl.use_cpu=false", "sft.trl.ddp_backend=gloo")}
HELD_OUT = 5


def supervised(folder: Path, model: Path, rows: int) -> Path:
    """A recipe with one update of SFT on rows of all processes, and greedy validation of one step at a time."""
    return recipe(
        folder,
        model,
        stages=["sft"],
        data={"path": "demo", "validation_fraction": 0.1, "validation_steps": HELD_OUT, "train_steps": 8},
        validation={"max_new_tokens": 6, "batch_size": 1},
        sft={"trl": {"max_steps": 1, "save_steps": 1, "per_device_train_batch_size": rows, "use_cpu": True}},
    )


@pytest.fixture(scope="module", params=ENGINES)
def sharded(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of what ``tests.train_sharded`` wrote."""
    engine: str = request.param
    if engine == "zero3" and find_spec("deepspeed") is None:
        pytest.skip("DeepSpeed is not installed (pip install deepspeed)")
    folder = tmp_path_factory.mktemp(engine)
    path = supervised(folder, tiny_model, rows=1)
    launched(
        2,
        "tests.train_sharded",
        engine,
        str(tiny_model),
        str(folder / "found.pt"),
        str(path),
        *ENGINES[engine],
    )
    return folder


def test_rows_that_share_prefixes_make_the_update_of_plain_rows(sharded: Path) -> None:
    """Although the two processes have different trees, or one has none."""
    found = torch.load(sharded / "found.pt")
    assert len(found) == 4
    for (losses, change, tokens), (shared_losses, shared_change, shared_tokens) in found.values():
        assert shared_losses == pytest.approx(losses, rel=1e-5, abs=1e-6)
        assert float((shared_change - change).norm() / change.norm()) < 1e-5
        assert float(change.norm()) > 1e-3
        assert shared_tokens < tokens / 3


def test_sharded_processes_validate_together_what_one_process_does(
    sharded: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Five steps are three and two; the base has its real weights in the process that loads none, too."""
    assert train([str(supervised(tmp_path, tiny_model, rows=2))]) == 0
    alone, together = (whole_lines(folder / "run/validation.jsonl") for folder in (tmp_path, sharded))
    assert len(alone) == 2 * HELD_OUT
    assert [answer(line) for line in together] == [answer(line) for line in alone]


def answer(line: dict[str, Any]) -> tuple[object, ...]:
    return line["stage"], line["step"], line["trajectory_id"], line["step_index"], line["completion"]


def test_processes_without_held_out_steps_take_the_first_one() -> None:
    assert [share_of([7], rank, 3) for rank in range(3)] == [[7], [7], [7]]
