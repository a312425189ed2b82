"""Every command in a ``sh`` block of the docs is run, in a folder as a user would have it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.demo import expert_path
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


@pytest.fixture
def user_folder(tmp_path: Path, finished: Path) -> Path:
    (tmp_path / "my_runs").mkdir()
    shutil.copy(expert_path(), tmp_path / "my_runs/expert.jsonl")
    (tmp_path / "data").mkdir()
    for name in ("first", "second"):
        shutil.copytree(finished, tmp_path / "outputs" / name)
    return tmp_path


def test_the_commands_run(user_folder: Path) -> None:
    for command in commands():
        if not command.startswith("python -m "):
            continue
        words = [sys.executable, *command.split()[1:]]
        if "harness.train" in command and "--dry-run" not in words and "--resume" not in words:
            words.append("--dry-run")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # the copied run names a reward of the tests
        done = subprocess.run(
            words, cwd=user_folder, env=environment, capture_output=True, text=True, timeout=200
        )
        fine = (0, 1) if "harness.doctor" in command else (0,)  # the doctor may find something missing here
        assert done.returncode in fine, (command, done.stderr)
        assert "Traceback" not in done.stderr, command


def test_links_between_the_docs_lead_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"
