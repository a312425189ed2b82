"""``python -m harness.evaluate`` as a person calls it, on real containers, and what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from environments.sandbox.engine import LABEL, connect
from harness.demo.instances import build_demo_images, demo_instances
from harness.evaluation.folder import EvaluationFolder
from harness.jsonl import read_rows
from tests.fork_server import run_python
from tests.tiny_runs import ROOT

TASKS = ["demo__calc-1", "demo__calc-2", "demo__router-1"]
IDS = f"tasks.ids=[{','.join(TASKS)}]"


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python(
        "-m", "harness.evaluate", *arguments, cwd=folder, env={"PYTHONPATH": str(ROOT), **environment}
    )


def report_of(run: Path) -> Any:
    return json.loads((run / "report.json").read_text())


def write_predictions(path: Path, **patches: str | None) -> str:
    rows = [
        {
            "instance_id": name.replace("_", "__", 1).replace("_N", "-"),
            "model_name_or_path": "me",
            "model_patch": patch,
        }
        for name, patch in patches.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def gold(image: str) -> dict[str, str]:
    build_demo_images(frozenset(TASKS), lambda name: None)
    return {task.instance_id: task.patch for task in demo_instances()}


def test_predictions_are_verified_beside_the_sanity_check(tmp_path: Path, gold: dict[str, str]) -> None:
    patches = {"demo_calc_N1": gold["demo__calc-1"], "demo_calc_N2": gold["demo__calc-1"]}
    file = write_predictions(tmp_path / "preds.jsonl", **patches)
    done = command(tmp_path, "--predictions", file, IDS, "name=one")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/one")
    assert report["total_instances"] == 3
    assert report["resolved_ids"] == ["demo__calc-1"]
    assert report["unresolved_ids"] == [] or report["error_ids"] == []
    assert sorted(report["unresolved_ids"] + report["error_ids"]) == ["demo__calc-2"]
    assert report["empty_patch_ids"] == ["demo__router-1"]
    buckets = ("resolved", "unresolved", "empty_patch", "error", "infra_failure", "incomplete")
    assert sum(report[f"{bucket}_instances"] for bucket in buckets) == 3
    assert (report["resolved_rate"]["successes"], report["resolved_rate"]["n"]) == (1, 3)
    assert report["certificate"]["gold"] == {"total": 3, "resolved": 3, "unexpected": {}}
    assert report["certificate"]["noop"] == {"total": 3, "resolved": 0, "unexpected": {}}
    assert report["versions"]["swebench"].startswith("5.")
    assert "resolved 33.3%" in done.stdout
    # The prediction that is the reference patch was not run a second time.
    verdicts = read_rows(EvaluationFolder(tmp_path / "outputs/one").verdicts)
    assert len(verdicts) == 3 + 3 + 1


def test_a_killed_run_is_resumed_and_repeats_only_what_broke(tmp_path: Path, gold: dict[str, str]) -> None:
    assert command(tmp_path, "--gold", IDS, "name=run").returncode == 0
    folder = EvaluationFolder(tmp_path / "outputs/run")
    first, *others = read_rows(folder.attempts)
    broken = {**others[0], "bucket": "infra_failure"}
    folder.attempts.write_text(
        "".join(json.dumps(row) + "\n" for row in (first, broken)) + '{"instance_id": "cut'
    )
    folder.verdicts.unlink()
    done = command(tmp_path, "--resume", "outputs/run")
    assert done.returncode == 0, done.stderr
    assert "2 of 3 verdicts to go" in done.stderr
    assert report_of(folder.path)["certificate"]["gold"]["resolved"] == 3
    again = read_rows(folder.verdicts)
    assert len(again) == 2
    assert first["instance_id"] not in {row["instance_id"] for row in again}
    assert command(tmp_path, "--gold", IDS, "name=run").returncode == 1  # a run is never overwritten


def test_ctrl_c_says_how_to_resume_and_leaves_no_container(tmp_path: Path, gold: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.evaluate", "name=run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    attempts = tmp_path / "outputs/run/attempts.jsonl"
    deadline = time.monotonic() + 240  # the images of all tasks may have to be built first
    while not attempts.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "python -m harness.evaluate --resume outputs/run" in printed
    assert "Traceback" not in printed
    left = connect().api.containers(all=True, filters={"label": LABEL})
    assert not [c for c in left if c["Labels"][LABEL].startswith(f"{process.pid}:")]


def proxy(path: Path) -> "subprocess.Popen[bytes]":
    """A way to the engine, open when this returns."""
    engine = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    path.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, str(ROOT / "tests/engine_proxy.py"), str(path), engine])
    while not path.exists():
        time.sleep(0.05)
    return process


def test_an_engine_that_is_gone_for_a_while_costs_no_verdict(tmp_path: Path, gold: dict[str, str]) -> None:
    way = tmp_path / "engine.sock"
    cut = proxy(way)
    evaluation = subprocess.Popen(
        [sys.executable, "-m", "harness.evaluate", "judge=[gold,noop]", IDS, "workers=2", "name=run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": f"unix://{way}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    attempts = tmp_path / "outputs/run/attempts.jsonl"
    while not attempts.exists() and evaluation.poll() is None:
        time.sleep(0.05)
    cut.kill()
    cut.wait()
    assert evaluation.poll() is None, "the run was over before its engine was gone"
    time.sleep(2)
    again = proxy(way)
    _, printed = evaluation.communicate(timeout=200)
    again.kill()
    again.wait()
    assert evaluation.returncode == 0, printed
    sanity_check = report_of(tmp_path / "outputs/run")["certificate"]
    assert sanity_check["gold"] == {"total": 3, "resolved": 3, "unexpected": {}}
    assert sanity_check["noop"] == {"total": 3, "resolved": 0, "unexpected": {}}
    left = connect().api.containers(all=True, filters={"label": LABEL})
    assert not [c for c in left if c["Labels"][LABEL].startswith(f"{evaluation.pid}:")]


def test_a_missing_image_costs_its_task_and_is_counted_apart(tmp_path: Path, gold: dict[str, str]) -> None:
    good = next(task for task in demo_instances() if task.instance_id == "demo__calc-1")
    rows = []
    for name, picture in (("demo__calc-1", good.image), ("demo__calc-9", "no/such-image:1")):
        row = {key: getattr(good, key) for key in good.__dataclass_fields__}
        rows.append({**row, "instance_id": name, "image": picture})
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = command(tmp_path, "tasks.source=tasks.jsonl", "judge=[gold]", "retries=0", "name=run")
    assert done.returncode == 0, done.stderr
    assert "warning: pulling no/such-image:1" in done.stderr
    found = report_of(tmp_path / "outputs/run")["certificate"]["gold"]
    assert found == {"total": 2, "resolved": 1, "unexpected": {"demo__calc-9": "infra_failure"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ('{"model_patch": ""}\n', "names its instance_id"),
        ('{"instance_id": "demo__calc-1"}\n', "has no model_patch"),
        ('{"instance_id": "demo__calc-1", "model_patch": 3}\n', "not text"),
        ('{"instance_id": "demo__calc-77", "model_patch": ""}\n', "demo__calc-77 is none of the 72 tasks"),
        ('{"instance_id": "demo__calc-1", "model_patch": ""}\n' * 2, "duplicate prediction for demo__calc-1"),
        ("", "holds no prediction"),
    ],
)
def test_malformed_predictions_are_named_before_anything_is_made(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "preds.jsonl").write_text(text)
    done = command(tmp_path, "--predictions", "preds.jsonl")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_predictions_as_an_object_by_instance_or_a_list(tmp_path: Path) -> None:
    for value in (
        {"demo__calc-1": {"model_patch": "x"}},
        [{"instance_id": "demo__calc-1", "model_patch": None}],
    ):
        (tmp_path / "preds.json").write_text(json.dumps(value))
        assert command(tmp_path, "--predictions", "preds.json", "--dry-run").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tasks.ids=[demo__calc-11]"], "did you mean demo__calc-1?"),
        (["tasks.source=no.jsonl"], "no file no.jsonl"),
        (["worker=3"], "did you mean workers?"),
        (
            ["nothere"],
            "one of demo, demo_oracle_edit, demo_tool_loop, math, math_demo, verified_agentless_mini",
        ),
        (["--resume", "nowhere"], "no run to resume here"),
        (["--predictions", "no.jsonl"], "no such file"),
    ],
)
def test_bad_input_is_named_without_a_traceback(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = command(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_no_engine_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    done = command(tmp_path, DOCKER_HOST="unix:///no/such.sock")
    assert done.returncode == 1
    assert "harness.doctor" in done.stderr
    assert "Traceback" not in done.stderr
