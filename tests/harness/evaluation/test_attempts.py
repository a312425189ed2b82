"""Policies attempt the demo's tasks in real containers, in every scaffold, by the command."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cli import UserError
from harness.config.evaluation import load_evaluation
from harness.config.load import shipped_recipes
from harness.evaluate import main
from harness.evaluation.folder import EvaluationFolder
from harness.evaluation.records import AttemptRecord, read_records
from harness.jsonl import read_rows
from tests.fork_server import run_python
from tests.harness.evaluation.test_evaluate import command, report_of
from tests.tiny_runs import ROOT

pytestmark = pytest.mark.usefixtures("image")


def test_the_expert_solves_in_the_tool_loop_what_it_solved_when_it_was_recorded(tmp_path: Path) -> None:
    done = command(tmp_path, "tasks.slice=::11", "judge=[predictions]", "name=run")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["resolved_instances"] == report["total_instances"] == 7
    assert report["rollout_status"] == {"submitted": 7}
    assert report["model_name_or_path"] == "expert"
    rows = read_rows(EvaluationFolder(tmp_path / "outputs/run").rollouts)
    removed = [row["trajectory"]["metadata"]["future_removed"] for row in rows]
    assert all(report["after"]["commits"] == 1 for report in removed)
    assert all(row["trajectory"]["steps"][-1]["actions"][0]["name"] == "submit" for row in rows)
    predictions = read_rows(EvaluationFolder(tmp_path / "outputs/run").predictions)
    assert {row["model_name_or_path"] for row in predictions} == {"expert"}
    assert all(row["model_patch"].startswith("diff --git ") for row in predictions)


@pytest.mark.parametrize(
    ("scaffold", "name"),
    [
        ("oracle-edit", "oracle-edit"),
        ("agentless-mini", "agentless-mini"),
        ("mini-swe-agent", "mini-swe-agent"),
        ("one-script", "tests.plugin_scaffold:OneScript"),
    ],
)
def test_every_scaffold_solves_a_task_with_a_scripted_policy(
    tmp_path: Path, scaffold: str, name: str
) -> None:
    if scaffold == "mini-swe-agent":
        pytest.importorskip("minisweagent")
    done = command(
        tmp_path,
        "tasks.ids=[demo__calc-1,demo__router-1]",
        "judge=[predictions]",
        "policy.name=tests.plugin_policy:reference_fix",
        f"policy.settings.scaffold={scaffold}",
        f"scaffold.name={name}",
        f"scaffold.oracle={'true' if scaffold == 'oracle-edit' else 'false'}",
        "name=run",
    )
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["resolved_ids"] == ["demo__calc-1", "demo__router-1"], report["failure_reasons"]
    assert report["cost"]["completion_tokens"] > 0


def test_cheating_is_reported_and_gains_nothing(tmp_path: Path) -> None:
    done = command(
        tmp_path,
        "tasks.ids=[demo__calc-1]",
        "judge=[predictions]",
        "policy.name=tests.plugin_policy:cheat",
        "name=run",
    )
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["empty_patch_ids"] == report["suspected_exploit_ids"] == ["demo__calc-1"]
    assert report["suspected_exploits"]["demo__calc-1"][0]["rule"] == "reads history"
    (row,) = read_rows(EvaluationFolder(tmp_path / "outputs/run").rollouts)
    assert (
        len(row["trajectory"]["steps"][0]["observation"].splitlines()) == 1
    )  # the base commit and nothing else


def test_a_policy_without_an_answer_is_counted_apart_and_tried_again(tmp_path: Path) -> None:
    arguments = [
        "tasks.ids=[demo__calc-1]",
        "judge=[predictions]",
        "policy.name=tests.plugin_policy:silent",
        "name=run",
    ]
    done = command(tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["policy_failure_ids"] == ["demo__calc-1"]
    assert "no script for this prompt" in report["failure_reasons"]["demo__calc-1"]
    assert (report["resolved_rate"]["successes"], report["resolved_rate"]["n"]) == (0, 1)
    again = command(tmp_path, "--resume", "outputs/run")
    assert "1 of 1 verdicts to go" in again.stderr


def test_several_samples_give_pass_at_k(tmp_path: Path) -> None:
    done = command(tmp_path, "tasks.ids=[demo__calc-1]", "judge=[predictions]", "samples=2", "name=run")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["pass_at_k"] == {"1": 1.0, "2": 1.0}
    rows = read_rows(EvaluationFolder(tmp_path / "outputs/run").rollouts)
    assert sorted(row["trajectory"]["trajectory_id"] for row in rows) == [
        "demo__calc-1.expert",
        "demo__calc-1.expert.1",
    ]
    assert (
        len(read_rows(EvaluationFolder(tmp_path / "outputs/run").verdicts)) == 1
    )  # the same patch, verified once


def report_command(folder: Path, *runs: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "harness.report", *runs, cwd=folder, env={"PYTHONPATH": str(ROOT)})


def test_evaluations_are_compared_task_by_task(tmp_path: Path) -> None:
    ids = "tasks.ids=[demo__calc-1,demo__calc-2,demo__calc-3]"
    (tmp_path / "none.jsonl").write_text(
        "".join(json.dumps({"instance_id": f"demo__calc-{n}", "model_patch": ""}) + "\n" for n in (1, 2, 3))
    )
    assert command(tmp_path, ids, "judge=[predictions]", "name=expert").returncode == 0
    assert (
        command(tmp_path, "--predictions", "none.jsonl", ids, "judge=[predictions]", "name=none").returncode
        == 0
    )
    done = report_command(tmp_path, "outputs/none", "outputs/expert")
    assert done.returncode == 0, done.stderr
    assert "too small to tell (3 tasks solved by the former only, 0 by the latter only, of 3" in done.stdout
    (difference,) = json.loads((tmp_path / "outputs/comparison/report.json").read_text())["differences"]
    assert (difference["n"], difference["only_first"], difference["only_second"]) == (3, 0, 3)
    assert difference["p_value"] == 0.25
    assert "resolved 100.0%" in report_command(tmp_path, "outputs/expert").stdout
    assert report_command(tmp_path, "outputs/expert", "outputs/expert").returncode == 2


@pytest.mark.parametrize(
    "name", [name for name in shipped_recipes("evaluate") if load_evaluation(name).domain == "swe"]
)
def test_every_shipped_recipe_names_what_there_is(tmp_path: Path, name: str) -> None:
    # The published sets are not on this machine, nor is a training run: test_trained_policy.py makes one.
    words = ["tasks.source=demo"]
    if "trained_policy" in shipped_recipes("evaluate")[name].read_text(encoding="utf-8"):
        policy = "{name: tests.plugin_policy:reference_fix, settings: {scaffold: oracle-edit}}"
        words += ["trained_policy=null", f"policy={policy if 'oracle' in name else '{name: expert}'}"]
    done = command(tmp_path, name, "--dry-run", *words)
    assert done.returncode == 0, done.stderr
    assert "# 72 tasks of 23 repositories" in done.stdout


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["policy.name=nobody"], "use one of endpoint, transformers, vllm"),
        (["scaffold.name=ladder"], "tool-loop, oracle-edit, agentless-mini, math, mini-swe-agent"),
        (["scaffold.settings.max_step=3"], "has no setting max_step"),
        (["scaffold.settings.context_window=-1"], "at least 0, not -1"),
        (["scaffold.name=oracle-edit"], "set scaffold.oracle=true"),
        (["scaffold.name=agentless-mini"], "scaffold.name=tool-loop"),
        (["policy=null"], "or a policy that makes them"),
        (
            ["policy.name=endpoint", "policy.settings.base_url=localhost", "policy.settings.model=m"],
            "http://",
        ),
        (["actions.format=yaml"], "use one of xml, hermes, bash-block"),
    ],
)
def test_wrong_parts_are_named_before_anything_is_made(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = command(tmp_path, *overrides)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()


# --- What an attempt leaves behind


def watched(folder: Path, policy: str, **settings: object) -> list[str]:
    """The words for a policy that writes down its calls."""
    table = {"policy": policy, "log": str(folder / "asked"), **settings}
    return ["policy.name=tests.plugin_policy:Watched", f"policy.settings={json.dumps(table)}"]


def asked(folder: Path) -> int:
    return len((folder / "asked").read_text().splitlines())


def test_a_kill_between_attempt_and_verdict_costs_the_verdict_only(tmp_path: Path) -> None:
    settings = {"scaffold": "oracle-edit"}
    arguments = [
        "tasks.ids=[demo__calc-1,demo__calc-2]",
        "judge=[predictions]",
        *watched(tmp_path, "reference_fix", settings=settings),
        "scaffold={name: oracle-edit, oracle: true}",
        "workers=1",
        "name=run",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.evaluate", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    folder = EvaluationFolder(tmp_path / "outputs/run")
    while process.poll() is None and not (folder.rollouts.exists() and folder.rollouts.read_text()):
        time.sleep(0.005)
    process.kill()  # its verdict takes a container
    process.wait()
    assert not folder.attempts.exists()
    assert not folder.verdicts.exists()
    (prediction,) = read_rows(folder.predictions)
    assert prediction["model_patch"].startswith("diff --git ")
    assert asked(tmp_path) == 1
    done = command(tmp_path, "--resume", "outputs/run")
    assert done.returncode == 0, done.stderr
    assert "2 of 2 verdicts to go" in done.stderr
    assert asked(tmp_path) == 2  # for the other task
    assert report_of(folder.path)["resolved_ids"] == ["demo__calc-1", "demo__calc-2"]
    assert [row["instance_id"] for row in read_rows(folder.predictions)] == ["demo__calc-1", "demo__calc-2"]
    first = read_rows(folder.rollouts)[0]
    assert first["trajectory"]["patch"] == prediction["model_patch"]


@pytest.mark.parametrize("scaffold", ["tool-loop", "agentless-mini", "mini-swe-agent"])
def test_what_was_done_when_the_policy_failed_is_kept(tmp_path: Path, scaffold: str) -> None:
    if scaffold == "mini-swe-agent":
        pytest.importorskip("minisweagent")
    policy, settings = ("cheat", {}) if scaffold == "tool-loop" else ("reference_fix", {"scaffold": scaffold})
    done = command(
        tmp_path,
        "tasks.ids=[demo__calc-1]",
        "judge=[predictions]",
        *watched(tmp_path, policy, settings=settings, fail_on=2),
        f"scaffold.name={scaffold}",
        "name=run",
    )
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "outputs/run")
    assert report["policy_failure_ids"] == ["demo__calc-1"]
    assert (report["rollout_status"], report["calls"]["steps"]) == ({"policy_failure": 1}, 0)
    assert report["suspected_exploit_ids"] == (["demo__calc-1"] if scaffold == "tool-loop" else [])
    (row,) = read_rows(EvaluationFolder(tmp_path / "outputs/run").rollouts)
    assert (row["status"], row["error"]) == ("policy_failure", "watched: call 2 fails")
    assert (len(row["completions"]), len(row["trajectory"]["steps"])) == (1, 1)
    assert row["completion_tokens"] > 0
    assert row["trajectory"]["source"] == scaffold
    assert row["trajectory"]["metadata"]["future_removed"]["after"]["commits"] == 1


def test_what_was_done_when_the_sandbox_broke_is_kept_from_the_last_try(tmp_path: Path) -> None:
    arguments = ["tasks.ids=[demo__calc-1]", "judge=[predictions]", "retries=1", "name=run"]
    done = command(tmp_path, *arguments, *watched(tmp_path, "look", break_every=3))
    assert done.returncode == 0, done.stderr
    folder = EvaluationFolder(tmp_path / "outputs/run")
    report = report_of(folder.path)
    assert report["infra_failure_ids"] == ["demo__calc-1"]
    (row,) = read_rows(folder.rollouts)
    assert row["status"] == "environment_failure"
    assert row["error"] == report["failure_reasons"]["demo__calc-1"]
    steps = row["trajectory"]["steps"]
    assert (len(row["completions"]), len(steps), asked(tmp_path)) == (3, 3, 6)
    assert [step["observation"] == row["error"] for step in steps] == [False, False, True]
    assert command(tmp_path, "--resume", "outputs/run").returncode == 0
    assert asked(tmp_path) == 12  # attempted again


def test_a_folder_of_an_earlier_release_is_resumed_and_reported(tmp_path: Path) -> None:
    words = ["tasks.ids=[demo__calc-1,demo__calc-2]", "judge=[predictions]", "name=run"]
    assert command(tmp_path, *words).returncode == 0
    folder = EvaluationFolder(tmp_path / "outputs/run")
    before = report_of(folder.path)
    rollouts = read_rows(folder.rollouts)
    for row in rollouts:  # their lines had fewer columns
        del row["source"], row["model_name_or_path"]
    folder.rollouts.write_text("".join(json.dumps(row) + "\n" for row in rollouts))
    folder.attempts.write_text(json.dumps(read_rows(folder.attempts)[0]) + "\n")
    done = command(tmp_path, "--resume", "outputs/run")
    assert done.returncode == 0, done.stderr
    assert "1 of 2 verdicts to go" in done.stderr
    assert report_of(folder.path) == before
    assert len(read_rows(folder.rollouts)) == 2


def test_a_line_without_its_columns_is_named(tmp_path: Path) -> None:
    path = tmp_path / "attempts.jsonl"
    path.write_text(
        '{"instance_id": "a", "sample": 0, "bucket": "resolved"}\n{"instance_id": "b", "sample": 0}\n'
    )
    with pytest.raises(UserError, match=r"attempts.jsonl:2: not a line of attempts.jsonl: .*bucket"):
        read_records(path, AttemptRecord)


def test_help_names_the_shipped_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert f"shipped recipes: {', '.join(shipped_recipes('evaluate'))}" in told
