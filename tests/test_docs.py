"""Every command in a ``sh`` block of the docs is run, in a folder as a user would have it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.demo import expert_path
from harness.evaluation.config import load_evaluation
from harness.evaluation.records import EvaluationFolder
from tests.tiny_runs import ROOT

DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[str]:
    found: list[str] = []
    for path in DOCS:
        for block in re.findall(
            r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            found += [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]
    return list(dict.fromkeys(found))


def test_the_readme_names_the_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [command.split()[1] for command in commands() if command.startswith("make ")]
    assert {"train", "test"} <= set(targets)
    assert all(f"\n{target}:" in makefile for target in targets)


def test_every_line_of_the_blocks_is_a_command_we_know() -> None:
    known = ("make ", "python -m harness.", "python benchmarks/", ". .venv/bin/activate")
    assert [command for command in commands() if not command.startswith(known)] == []


def write_predictions(path: Path) -> None:
    row = {"instance_id": "demo__calc-1", "model_name_or_path": "me", "model_patch": ""}
    path.write_text(json.dumps(row) + "\n")


@pytest.fixture
def user_folder(tmp_path: Path, finished: Path) -> Path:
    (tmp_path / "my_runs").mkdir()
    shutil.copy(expert_path(), tmp_path / "my_runs/expert.jsonl")
    (tmp_path / "data").mkdir()
    write_predictions(tmp_path / "preds.jsonl")
    judged = EvaluationFolder(tmp_path / "outputs/judged")
    judged.create(load_evaluation("demo", ["tasks.ids=[demo__calc-1]", "judge=[gold]"]))
    for name in ("first", "second"):
        shutil.copytree(finished, tmp_path / "outputs" / name)
    return tmp_path


def needs_engine(command: str) -> bool:
    return "--clean" in command or ("harness.evaluate" in command and "--resume" in command)


def test_the_commands_run(user_folder: Path) -> None:
    for command in commands():
        if command.startswith("python -m ") and not needs_engine(command):
            run_command(command, user_folder)


def test_the_commands_that_need_a_container_engine_run(user_folder: Path, image: str) -> None:
    found = [command for command in commands() if needs_engine(command)]
    assert found
    for command in found:
        run_command(command, user_folder)


def run_command(command: str, folder: Path) -> None:
    words = [sys.executable, *command.split()[1:]]
    starts_work = any(f"harness.{name}" in command for name in ("train", "evaluate", "profile"))
    if starts_work and "--dry-run" not in words and "--resume" not in words:
        words.append("--dry-run")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # the copied run names a reward of the tests
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    fine = (0, 1) if "harness.doctor" in command else (0,)  # the doctor may find something missing here
    assert done.returncode in fine, (command, done.stderr)
    assert "Traceback" not in done.stderr, command


def test_links_between_the_docs_lead_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
