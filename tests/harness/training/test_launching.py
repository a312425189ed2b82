"""Training in several processes: launcher configurations, and vLLM."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

from tests.tiny_runs import ROOT, recipe, run

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
    assert [path.stem for path in FILES] == ["ddp", "fsdp2", "zero2"]
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
