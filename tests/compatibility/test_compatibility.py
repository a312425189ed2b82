"""Files of commit 403be40 are still read, and its runs resume: stores, runs, evaluations, studies, profiles, recipes.

Every file was written by the commands of that commit; README.md beside them says how. All paths in them are relative
to their folder, which each test has a copy of as its working directory.
"""

import importlib
import json
import math
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness
from tests.fork_server import run_python

FIXTURES = Path(__file__).parent / "made_by_403be40"
ROOT = Path(harness.__file__).parent.parent
UNSEEN = frozenset({"seconds"})  # of a report: hangs on the machine


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all that was written, as the working directory."""
    folder = tmp_path / "made"
    shutil.copytree(FIXTURES, folder)
    monkeypatch.chdir(folder)
    return folder


def call(command: str, *words: str) -> int:
    """A command in this process, for what trains and asks nothing: its exit code."""
    code: int = importlib.import_module(f"harness.{command}").main(list(words))
    return code


def start(command: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own; it must end well."""
    environment = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **environment}
    done = run_python("-m", f"harness.{command}", *words, cwd=Path.cwd(), env=environment)
    assert done.returncode == 0, done.stderr
    return done


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def lost(old: Any, new: Any, place: str = "") -> list[str]:
    """Where ``new`` lacks or contradicts what ``old`` says; it may say more."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{place}/{key} is missing" for key in old if key not in new]
        kept = [key for key in old if key in new and key not in UNSEEN]
        return missing + [found for key in kept for found in lost(old[key], new[key], f"{place}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for i, (a, b) in pairs for found in lost(a, b, f"{place}/{i}")]
    if isinstance(old, float) and isinstance(new, float) and math.isclose(old, new, rel_tol=1e-9):
        return []
    return [] if old == new else [f"{place}: {old!r} became {new!r}"]


# --- Stores


def test_a_store_is_read_and_every_row_of_it_is_sound(here: Path) -> None:
    assert call("convert", "store/expert.jsonl", "--stats", "--validate") == 0
    total, kept = read(here / "store/expert.stats.json")["total"], read(here / "store/ledger.json")["total"]
    assert (total["trajectories"], total["steps"]["total"]) == (5, 35)
    assert (kept["trajectories"]["kept"], kept["steps"]["kept"]) == (5, 35)
    digest = sha256((here / "store/expert.jsonl").read_bytes()).hexdigest()
    assert digest in (here / "store/expert.card.md").read_text()


@pytest.mark.parametrize("name", ["expert", "solutions"])
def test_a_store_converted_again_is_the_same(here: Path, name: str) -> None:
    again = ["--format", "store", "--out", "again/store.jsonl"]
    (here / "again").mkdir()
    call("convert", f"store/{name}.jsonl", *again)
    assert (here / "again/store.jsonl").read_bytes() == (here / f"store/{name}.jsonl").read_bytes()


def test_filters_of_then_are_taken(here: Path) -> None:
    (here / "clean").mkdir()
    filters = ["--filters", "recipes/shipped/convert/clean.yaml"]
    call("convert", "store/expert.jsonl", "--format", "store", "--out", "clean/store.jsonl", *filters)
    assert rows(here / "clean/store.jsonl")


# --- Training runs


@pytest.mark.parametrize("run", ["finished", "rlvr"])
def test_a_report_made_again_says_the_same(here: Path, run: str) -> None:
    old = read(here / run / "report.json")
    (here / run / "report.json").unlink()
    assert call("report", run) == 0
    assert (here / run / "report.html").exists()
    new = read(here / run / "report.json")
    del old["schema_version"]
    floor, trained_on = old.pop("floor"), new["trained_on"]
    for stage, figures in old["stages"].items():
        intervals = new["stages"][stage]["rewards"]
        assert lost(figures.pop("rewards"), {name: part["mean"] for name, part in intervals.items()}) == []
    assert lost(old, new) == []
    policies = new["baseline"]["policies"]
    assert policies.keys() == floor["policies"].keys()
    for policy, figures in floor["policies"].items():
        by_kind = figures.pop("by_kind")
        assert lost(figures, policies[policy]["rewards"][trained_on]) == []
        assert lost(by_kind, policies[policy]["by_kind"]) == []
    assert new["baseline"]["best"].get(trained_on, {}).get("policy") == floor["best"]


def test_verified_answers_are_counted_as_then(here: Path) -> None:
    """The columns of then: trajectory_id is the task, expert_action its answer, exact_match whether it is solved."""
    answers = rows(here / "rlvr/outcomes.jsonl")
    assert all((row["reason"] == "correct") == row["exact_match"] for row in answers)
    solved = Counter(row["step"] for row in answers if row["exact_match"])
    assert call("report", "rlvr") == 0
    report = read(here / "rlvr/report.json")
    stages = report["accuracy"]["stages"]
    for stage, step in (("base", 0), ("rlvr", 2)):
        assert round(stages[stage]["mean"] * stages[stage]["n"]) == solved[step]
    groups = rows(here / "rlvr/samples.jsonl")
    assert report["sampling"]["rlvr"]["groups"] == len(groups)
    assert report["sampling"]["rlvr"]["kept"] == sum(group["kept"] for group in groups)


def test_an_interrupted_run_has_a_report_so_far(here: Path) -> None:
    assert call("report", "interrupted") == 0
    old, new = read(here / "finished/report.json"), read(here / "interrupted/report.json")
    for stage in ("base", "sft"):  # the same recipe and seed
        del old["stages"][stage]["rewards"]
        assert lost(old["stages"][stage], new["stages"][stage]) == []
    assert any("not finished" in warning for warning in new["warnings"])


def test_runs_side_by_side(here: Path) -> None:
    assert call("report", "finished", "interrupted", "--out", "beside") == 0
    assert read(here / "beside/report.json")["runs"].keys() == {"finished", "interrupted"}


@pytest.mark.parametrize("run", ["interrupted", "interrupted_lora"])
def test_a_run_that_was_killed_goes_on_from_its_checkpoint(here: Path, run: str) -> None:
    """It was killed in the second update of SRL, after the checkpoint of the first."""
    files = [here / run / name for name in ("metrics.jsonl", "samples.jsonl", "validation.jsonl")]
    before = {path: path.read_text().splitlines() for path in files}
    done = start("train", "--resume", run)
    assert "sft: finished before" in done.stderr
    assert "srl: resuming at step 1" in done.stderr
    for path, lines in before.items():
        kept = [line for line in lines if not _after(json.loads(line), "srl", 1)]
        assert path.read_text().splitlines()[: len(kept)] == kept, path.name
    steps = [row["step"] for row in rows(files[0]) if (row["stage"], row["kind"]) == ("srl", "train")]
    assert steps == [1, 2, 3]
    assert {row["step"] for row in rows(files[1])} == {1, 2, 3}
    manifest = read(here / run / "manifest.json")
    assert (manifest["status"], len(manifest["resumed"])) == ("finished", 1)
    assert Path(read(here / run / "checkpoints/srl/best.json")["final_checkpoint"]).name == "checkpoint-3"
    report = read(here / run / "report.json")
    assert report["trained_stage"] == "srl"
    assert list(report["stages"]) == ["base", "sft", "srl"]
    assert report["difference"]["n"] == 3


def _after(row: dict[str, Any], stage: str, step: int) -> bool:
    return bool(row["stage"] == stage and row["step"] > step)


def test_a_finished_study_is_compared_again(here: Path) -> None:
    (old,) = read(here / "study/study.json")["metrics"].values()
    assert call("train", "--resume", "study") == 0
    new = read(here / "study/study.json")["metrics"]["similarity"]
    means = {(arm, p["stage"]): p["by_seed"] for p in new["points"] for arm in p["arm"].split("+")}
    assert {(p["arm"], p["stage"]): p["by_seed"] for p in old["points"]} == means
    (before,) = old["differences"]
    after = next(d for d in new["differences"] if (d["from"], d["to"]) == (before["from"], before["to"]))
    assert math.isclose(after["mean"], before["mean"])


# --- Evaluations


class Engine(BaseHTTPRequestHandler):
    """A container engine that has every image and makes no container."""

    def do_GET(self) -> None:
        """Answer the requests before the first container."""
        answer: Any = {"ApiVersion": "1.41", "Id": "sha256:0", "RepoTags": []}
        body = json.dumps([] if "/containers/json" in self.path else answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *words: Any) -> None:
        """Says nothing."""


@pytest.fixture
def engine() -> Iterator[str]:
    """The address of one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"tcp://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_math_evaluation_made_again_says_the_same(here: Path) -> None:
    old = read(here / "math_evaluation/report.json")
    (here / "math_evaluation/report.json").unlink()
    done = start("evaluate", "--resume", "math_evaluation")
    assert "9 answers; 0 of 9 verdicts to go" in done.stderr
    assert not (here / "asked.txt").exists()
    assert lost(old, read(here / "math_evaluation/report.json")) == []
    assert call("report", "math_evaluation") == 0


def test_a_math_evaluation_that_was_killed_asks_what_is_left(here: Path) -> None:
    attempts = here / "math_interrupted/attempts.jsonl"
    before = attempts.read_text()
    start("evaluate", "--resume", "math_interrupted")
    assert sorted((here / "asked.txt").read_text().splitlines()) == [
        "sampled What is 2 to the power of 10?",
        "sampled What is 4 * 6?",
    ]
    assert attempts.read_text().startswith(before)
    old, new = (read(here / name / "report.json") for name in ("math_evaluation", "math_interrupted"))
    assert lost(old, new) == []  # the other one was not killed


@pytest.mark.parametrize("run", ["swe_evaluation", "swe_predictions"])
def test_an_evaluation_in_containers_made_again_says_the_same(here: Path, engine: str, run: str) -> None:
    old = read(here / run / "report.json")
    (here / run / "report.json").unlink()
    done = start("evaluate", "--resume", run, DOCKER_HOST=engine)
    assert f"0 of {8 if run == 'swe_evaluation' else 9} verdicts to go" in done.stderr
    assert lost(old, read(here / run / "report.json")) == []
    assert call("report", run) == 0


def test_verdicts_of_then_are_not_asked_for_again(here: Path, engine: str) -> None:
    """Two patches whose verdicts are known, and an empty one, need no container."""
    folder = here / "swe_predictions"
    old = read(folder / "report.json")
    (folder / "report.json").unlink()
    lines = (folder / "attempts.jsonl").read_text().splitlines(keepends=True)
    left = [line for line in lines if json.loads(line)["source"] == "predictions"]
    cut = "".join(line for line in lines if line not in left)
    (folder / "attempts.jsonl").write_text(cut + left[0][:40])  # as a kill leaves it
    verdicts = (folder / "verdicts.jsonl").read_bytes()
    done = start("evaluate", "--resume", "swe_predictions", DOCKER_HOST=engine)
    assert "3 of 9 verdicts to go" in done.stderr
    again = (folder / "attempts.jsonl").read_text().splitlines()
    assert list(map(json.loads, again)) == list(map(json.loads, lines))
    assert (folder / "verdicts.jsonl").read_bytes() == verdicts
    assert lost(old, read(folder / "report.json")) == []


def test_evaluations_are_compared(here: Path) -> None:
    assert call("report", "swe_evaluation", "swe_predictions", "--out", "beside") == 0
    (difference,) = read(here / "beside/report.json")["differences"]
    assert (difference["n"], difference["only_first"], difference["only_second"]) == (2, 1, 0)


# --- Profiles


def test_a_profile_selects_steps(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = sum(not row["variance"] for row in rows(here / "profile/profile.jsonl"))
    select = ["data.select.profile=profile/profile.jsonl", "data.select.min_variance=0.001"]
    assert call("train", "recipes/train.yaml", *select, "--dry-run") == 0
    told = capsys.readouterr().out
    assert "# train: 3 steps of 2 trajectories" in told
    assert f"left out {flat} (variance of the initial policy's rewards <= 0.001)" in told


def test_a_profile_that_was_cut_off_goes_on(here: Path) -> None:
    path = here / "profile/profile.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole[:3]) + whole[3][:30])
    done = start("profile", "--resume", "profile")
    assert "2 left to sample" in done.stderr
    assert path.read_text().startswith("".join(whole[:3]))
    keys = [(row["trajectory_id"], row["step_index"]) for row in map(json.loads, whole)]
    assert [(row["trajectory_id"], row["step_index"]) for row in rows(path)] == keys


# --- Recipes

NO_HUB = ["contamination.against=[]"]
# The stores have fewer steps than a whole batch of a 7B recipe, which is refused today.
SMALL_BATCH = [f"{stage}.trl.gradient_accumulation_steps=1" for stage in ("srl", "rlvr")]
SWE, MATH = ["data.path=store/expert.jsonl"], ["data.path=store/solutions.jsonl", "data.validation_count=3"]
TASKS, PROBLEMS = ["tasks={source: store/tasks.jsonl}"], ["tasks={source: store/problems.jsonl}"]
SHIPPED = "recipes/shipped"


@pytest.mark.parametrize(
    ("command", "recipe", "overrides"),
    [
        ("train", "recipes/train.yaml", []),
        ("train", "recipes/rlvr.yaml", []),
        ("train", "recipes/study.yaml", []),
        ("train", f"{SHIPPED}/train/swe_srl_small_gpu.yaml", SWE),
        ("train", f"{SHIPPED}/train/swe_srl_qwen2.5_coder_7b_vllm.yaml", [*SWE, *NO_HUB, *SMALL_BATCH]),
        ("train", f"{SHIPPED}/train/math_srl_rlvr_qwen2.5_7b.yaml", [*MATH, *NO_HUB, *SMALL_BATCH]),
        ("train", f"{SHIPPED}/train/math_study.yaml", MATH),
        ("evaluate", "recipes/evaluate_math.yaml", []),
        ("evaluate", "recipes/evaluate_swe.yaml", []),
        ("evaluate", f"{SHIPPED}/evaluate/math.yaml", PROBLEMS),
        ("evaluate", f"{SHIPPED}/evaluate/verified_tool_loop.yaml", TASKS),
        ("evaluate", f"{SHIPPED}/evaluate/verified_agentless_mini.yaml", TASKS),
        *(("train", f"{run}/config.yaml", []) for run in ("finished", "interrupted_lora", "rlvr", "profile")),
        *(("evaluate", f"{run}/config.yaml", []) for run in ("math_evaluation", "swe_evaluation")),
    ],
)
def test_a_recipe_means_what_it_meant(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    recipe: str,
    overrides: list[str],
) -> None:
    monkeypatch.syspath_prepend(here)  # a policy of one's own
    model = ["model.name=model"] if command == "train" else []
    assert call(command, recipe, *overrides, *model, "--dry-run") == 0
    resolved = yaml.safe_load(capsys.readouterr().out)
    written = yaml.safe_load((here / recipe).read_text())
    for override in (*overrides, *model):
        remove(written, override.partition("=")[0])
    for stage in ("sft", "srl", "rlvr", "sft_control"):
        remove(written, f"{stage}.tokens_per_call")  # ignored: a micro-batch is one call of the model now
    move_thoughts(written)
    assert lost(written, resolved) == []


def move_thoughts(recipe: dict[str, Any]) -> None:
    """Move what a recipe said about thoughts to where it says so today."""
    for stage in ("sft", "sft_control"):
        said = {key: recipe[stage].pop(key) for key in ("thought", "filler") if key in recipe.get(stage, {})}
        if said and stage == "sft":
            renamed = {{"thought": "thoughts"}.get(key, key): value for key, value in said.items()}
            recipe["steps"] = renamed | recipe.get("steps", {})


def remove(table: dict[str, Any], key: str) -> None:
    """A dotted key out of a table, where it is there."""
    *parents, last = key.split(".")
    for parent in parents:
        table = table.get(parent, {})
    table.pop(last, None)
