"""Every command in a ``sh`` block of the docs is run, in a folder as a user would have it."""

import doctest
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from harness.config.evaluation import load_evaluation
from harness.demo import expert_path
from harness.evaluation.folder import EvaluationFolder
from tests.tiny_runs import ROOT
from tests.trajectories.seeds import SEEDS
from trajectories.readers import READERS

PACKAGES = ("harness", "srl_agent", "environments", "trajectories")
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


def write_task(path: Path) -> None:
    """An instance that nobody was trained on."""
    keys = ("instance_id", "repo", "base_commit", "problem_statement", "patch")
    path.write_text(json.dumps(dict.fromkeys(keys, "acme__w-1")) + "\n")


def write_runs(folder: Path) -> None:
    """A file of each format, an archive and a table."""
    for name in (*SEEDS, "packed", "table"):
        (folder / name).mkdir(parents=True)
    for name, lines in SEEDS.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name / "seed.jsonl").write_text(text)
        with zipfile.ZipFile(folder / "packed/runs.zip", "a") as archive:
            archive.writestr(f"{name}.jsonl", text)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(SEEDS["swe-smith"][:1]), folder / "table/train-0.parquet"
    )


@pytest.fixture
def user_folder(tmp_path: Path, finished: Path) -> Path:
    (tmp_path / "my_runs").mkdir()
    shutil.copy(expert_path(), tmp_path / "my_runs/expert.jsonl")
    (tmp_path / "data").mkdir()
    write_predictions(tmp_path / "preds.jsonl")
    write_task(tmp_path / "my_tasks.jsonl")
    write_runs(tmp_path / "runs")
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


def modules_with_examples() -> list[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files
        if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_are_right(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_every_format_has_a_page_that_the_overview_links_to() -> None:
    overview = (ROOT / "docs/trajectories.md").read_text(encoding="utf-8")
    together = {"s1k": "math"}
    for name in READERS:
        page = f"formats/{together.get(name, name)}.md"
        assert f"`]({page})" in overview, name
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert f"--format {name}`" in text, name
        assert f" runs/{name}/ " in text, name
    pages = {f"formats/{path.name}" for path in (ROOT / "docs/formats").iterdir()}
    assert pages <= set(re.findall(r"\]\((formats/[^)]+)\)", overview))


def test_links_between_the_docs_lead_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
