"""The doctor on this machine, and on machines with something missing."""

import json
import os
import signal
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness import doctor
from harness.cli import run
from harness.machine import checks as machine_checks
from harness.machine.checks import Check, all_checks


def exit_code(*arguments: str) -> int:
    return run(lambda: doctor.main(list(arguments)))


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_training_works_where_the_tests_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code() == 0
    out = capsys.readouterr().out
    assert "can run here." in out
    assert "transformers" in out


def test_json_is_all_of_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["works"] is True
    for check in answer["checks"]:
        assert set(check) == {"name", "status", "found", "required", "fix"}
        assert check["status"] in ("ok", "missing", "warning")
        assert check["status"] == "ok" or check["fix"] or not check["required"]


def test_an_unresponsive_engine_is_only_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    check = by_name(all_checks())["Docker"]
    assert (check.status, check.required) == ("warning", False)
    assert "no.sock" in check.found
    assert check.fix


def test_a_missing_demo_model_is_only_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRL_AGENT_CACHE", str(tmp_path))
    check = by_name(all_checks())["demo model"]
    assert check.status == "warning"
    assert "harness.train" in (check.fix or "")


def test_ranges_are_those_of_the_installed_distribution() -> None:
    wanted = {r.name: r for r in map(Requirement, metadata.requires("srl-agent") or ())}
    for name in ("torch", "transformers", "trl", "peft", "accelerate", "datasets"):
        assert machine_checks._wanted(name) == str(wanted[name].specifier)


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [("2.13.0+cpu", ">=2.11,<2.14", True), ("2.14.0", ">=2.11,<2.14", False), ("1.16.3", "==1.16.*", True)],
)
def test_fits(version: str, wanted: str, fits: bool) -> None:
    assert machine_checks._fits(version, wanted) is fits


def test_a_version_outside_the_range_fails_and_says_how_to_fix_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.9.0" if name == "trl" else real(name))
    assert exit_code("--json") == 1
    answer = json.loads(capsys.readouterr().out)
    (check,) = [check for check in answer["checks"] if check["name"] == "trl"]
    assert check["status"] == "missing"
    assert check["fix"] == 'pip install "trl==1.16.*"'
    assert answer["works"] is False


def test_a_library_that_cannot_be_imported_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    """torch, rich and docker are hidden from a real process."""
    code = (
        "import sys\nfor name in ('torch', 'rich', 'docker'): sys.modules[name] = None\n"
        "from harness import doctor; from harness.cli import run\nsys.exit(run(lambda: doctor.main([])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "missing  torch" in done.stdout
    assert "-> pip install" in done.stdout


def test_a_folder_that_cannot_be_written_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert exit_code("--json") == 1
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["disk for outputs"]["status"] == "missing"
    assert "writable" in checks["disk for outputs"]["fix"]


def test_ctrl_c_ends_quietly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:  # takes the connection and never answers
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.doctor"],
            env={**os.environ, "DOCKER_HOST": f"tcp://127.0.0.1:{engine.getsockname()[1]}"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        engine.settimeout(120)
        connection, _ = engine.accept()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        connection.close()
    assert process.returncode == 130
    assert told.strip() == "interrupted"


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness.doctor\ntry: harness.doctor.main(['--help'])\nexcept SystemExit: pass\n"
        "sys.exit(', '.join({'numpy', 'torch', 'docker', 'rich', 'packaging'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
