"""A custom task, from a checkout to a verdict."""

import json
import subprocess
from pathlib import Path

import git
import pytest

from environments.sandbox.engine import connect
from tests.fork_server import run_python
from tests.harness.evaluation.test_evaluate import command, report_of
from tests.tiny_runs import ROOT

TEST = "from w import half\n\n\ndef test_half():\n    assert half(3) == 1.5\n"
SCRIPT = """\
#!/bin/bash
set -uxo pipefail
cd /testbed
git config --global --add safe.directory /testbed
git checkout {base} tests/test_w.py
git apply -v - <<'EOF_1'
{test_patch}EOF_1
: '>>>>> Start Test Output'
python3 -m pytest -rA tests/test_w.py
: '>>>>> End Test Output'
git checkout {base} tests/test_w.py
"""


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "harness.build_image", *arguments, cwd=folder, env={"PYTHONPATH": str(ROOT)})


@pytest.fixture
def checkout(tmp_path: Path) -> git.Repo:
    folder = tmp_path / "w"
    (folder / "tests").mkdir(parents=True)
    (folder / "w.py").write_text("def half(x):\n    return x // 2\n")
    (folder / "conftest.py").write_text("")
    (folder / "tests/test_w.py").write_text("")
    repository = git.Repo.init(folder)
    with repository.config_writer() as config:
        config.set_value("user", "name", "me").set_value("user", "email", "me@example.com")
    repository.git.add(all=True)
    repository.git.commit("--quiet", message="base")
    return repository


def change(repository: git.Repo, path: str, text: str) -> str:
    """Return the diff of writing ``text``, and restore the file."""
    file = Path(repository.working_dir) / path
    before = file.read_text()
    file.write_text(text)
    patch = str(repository.git.diff()) + "\n"
    file.write_text(before)
    return patch


def test_a_task_from_a_checkout_is_verified(image: str, tmp_path: Path, checkout: git.Repo) -> None:
    base = checkout.head.commit.hexsha
    patch = change(checkout, "w.py", "def half(x):\n    return x / 2\n")
    test_patch = change(checkout, "tests/test_w.py", TEST)
    done = build(
        tmp_path, "w", "--commit", base[:10], "--image", "srl-agent/test-w:1", "--run", "touch /set-up"
    )
    assert done.returncode == 0, done.stderr
    assert f"srl-agent/test-w:1: w at {base}" in done.stdout
    row = {
        "instance_id": "me__w-1",
        "repo": "me/w",
        "base_commit": base,
        "problem_statement": "half(3) is 1",
        "patch": patch,
        "test_patch": test_patch,
        "FAIL_TO_PASS": ["tests/test_w.py::test_half"],
        "PASS_TO_PASS": [],
        "version": "1",
        "image": "srl-agent/test-w:1",
        "eval_script": SCRIPT.format(base=base, test_patch=test_patch),
        "log_parser": "parse_log_pytest",
        "eval_type": "pass_and_fail",
    }
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row) + "\n")
    judged = command(tmp_path, "tasks.source=tasks.jsonl", "judge=[gold,noop]", "name=run")
    assert judged.returncode == 0, judged.stderr
    certificate = report_of(tmp_path / "outputs/run")["certificate"]
    assert certificate["gold"] == {"total": 1, "resolved": 1, "unexpected": {}}
    assert certificate["noop"] == {"total": 1, "resolved": 0, "unexpected": {}}
    connect().images.remove("srl-agent/test-w:1", force=True)


def test_failed_builds_explain_themselves(image: str, tmp_path: Path, checkout: git.Repo) -> None:
    for arguments, message in (
        (["nowhere", "--commit", "HEAD"], "no such folder"),
        (["w", "--commit", "0123abc"], "w at 0123abc"),
        (["w", "--commit", "HEAD", "--run", "echo why; exit 3"], "exit code 3:\nwhy"),
        (["w", "--commit", "HEAD", "--base", "no/such:1"], "not on this machine"),
    ):
        done = build(tmp_path, *arguments, "--image", "srl-agent/test-bad:1")
        assert done.returncode in (1, 2), arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr
