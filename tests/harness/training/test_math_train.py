"""SFT -> SRL -> RLVR in one run on a tiny model: the lineage, a real kill, the switch rule, what is refused."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import UserError
from harness.data.selection import Profile
from harness.train import main
from harness.training.profiling import left_to_sample
from tests.fork_server import run_python
from tests.tiny_runs import ROOT, run, whole_lines

GRPO = {
    "max_steps": 2,
    "save_steps": 1,
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "max_completion_length": 24,
    "learning_rate": 1e-3,
    "use_cpu": True,
}


def recipe(folder: Path, model: Path, **changes: Any) -> Path:
    table = {
        "name": "run",
        "output": str(folder),
        "stages": ["sft", "srl", "rlvr"],
        "data": {
            "path": "math-demo",
            "split_by": "instance",
            "validation_count": 6,
            "validation_steps": 3,
            "train_steps": 12,
        },
        "steps": {"context_window": "full"},
        "actions": {"format": "math-step"},
        "model": {"name": str(model)},
        "validation": {"max_new_tokens": 4, "outcome_max_new_tokens": 4},
        "outcomes": {"validation_tasks": 4, "workers": 1},
        "sft": {
            "targets": ["steps", "solutions"],
            "trl": {**{k: GRPO[k] for k in ("max_steps", "save_steps", "learning_rate", "use_cpu")}},
        },
        "srl": {"keep": "last", "trl": GRPO},
        "rlvr": {"keep": "last", "trl": GRPO},
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(table, sort_keys=False))
    return path


def scripted(*words: str) -> list[str]:
    return [sys.executable, "-m", "tests.scripted_sampler", *words]


def train(*words: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "tests.scripted_sampler", *words)


def best(folder: Path, stage: str) -> Any:
    return json.loads((folder / "checkpoints" / stage / "best.json").read_text())


def final_weights(folder: Path) -> bytes:
    return (Path(best(folder, "rlvr")["final_checkpoint"]) / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def chain(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    done = train(str(recipe(folder, tiny_model)))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_three_stages_are_one_lineage_with_one_report(chain: Path) -> None:
    groups = whole_lines(chain / "samples.jsonl")
    rewards = [[c["reward"] for c in g["completions"]] for g in groups if g["stage"] == "rlvr"]
    assert rewards == [[1.0, 1.0, 0.0, 0.0]] * 2
    assert all(group["kept"] for group in groups)
    tasks = [{"task_id", "reference"} <= group.keys() for group in groups if group["stage"] == "rlvr"]
    assert tasks == [True, True]
    assert all("expert_action" in group for group in groups if group["stage"] == "srl")
    answers = whole_lines(chain / "outcomes.jsonl")
    assert all(row["solved"] is bool(row["reward"]) for row in answers)
    evaluations = {(row["stage"], row["step"]) for row in answers}
    assert evaluations == {("base", 0), *((s, n) for s in ("sft", "srl", "rlvr") for n in (1, 2))}
    assert len(answers) == 4 * len(evaluations)
    assert all(row["reward"] in (0.0, 1.0) for row in answers)
    for stage in ("srl", "rlvr"):
        assert best(chain, stage)["step"] == 2
        assert best(chain, stage)["ended_by"] == "epochs"
        assert best(chain, stage)["metrics"].keys() == {"eval_step_reward", "eval_accuracy"}
    assert best(chain, "rlvr")["metric"] == "eval_accuracy"
    report = json.loads((chain / "report.json").read_text())
    assert list(report["accuracy"]["stages"]) == ["base", "sft", "srl", "rlvr"]
    assert {d["to"] for d in report["accuracy"]["differences"]} == {"sft", "srl", "rlvr"}
    assert report["sampling"].keys() == {"srl", "rlvr"}
    assert "Verified answers to held-out tasks" in (chain / "report.html").read_text()


def test_killed_in_the_last_stage_the_run_ends_with_the_same_weights(
    chain: Path, tiny_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        scripted(str(recipe(tmp_path, tiny_model))), cwd=ROOT, stderr=subprocess.DEVNULL
    )
    saved = folder / "checkpoints/rlvr/checkpoint-1/complete.json"
    while not saved.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "report.json").exists()
    done = train("--resume", str(folder))
    assert done.returncode == 0, done.stderr
    assert "srl: finished before" in done.stderr
    assert "rlvr: resuming at step 1" in done.stderr
    assert final_weights(folder) == final_weights(chain)
    for name in ("outcomes.jsonl", "samples.jsonl", "validation.jsonl"):
        assert whole_lines(folder / name) == whole_lines(chain / name)


def test_a_plateau_ends_a_stage_and_is_written_down(tiny_model: Path, tmp_path: Path) -> None:
    longer = {
        "switch": {"rule": "plateau", "patience": 2},
        "keep": "last",
        "trl": {**GRPO, "max_steps": 9},
    }
    path = recipe(
        tmp_path,
        tiny_model,
        stages=["rlvr"],
        rlvr=longer,
        validation={"steps": False, "outcome_max_new_tokens": 2},
    )
    done = train(str(path))
    assert done.returncode == 0, done.stderr
    # Nothing is ever right: the first evaluation is the best one, two more bring nothing new.
    assert "rlvr: ends after 3 updates (plateau)" in done.stderr
    folder = tmp_path / "run"
    assert (best(folder, "rlvr")["ended_by"], best(folder, "rlvr")["step"]) == ("plateau", 3)
    assert "not measured in this run" in done.stdout
    before = whole_lines(folder / "metrics.jsonl")
    (folder / "checkpoints/rlvr/best.json").unlink()  # as a kill at that very moment leaves it
    again = train("--resume", str(folder))
    assert again.returncode == 0, again.stderr
    assert best(folder, "rlvr")["step"] == 3
    assert whole_lines(folder / "metrics.jsonl") == before


def test_a_problem_set_of_its_own_is_split_and_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    source = ROOT / "harness/demo/math/problems.jsonl"
    (tmp_path / "mine.jsonl").write_text("".join(source.read_text().splitlines(keepends=True)[:20]))
    outcomes = {"source": str(tmp_path / "mine.jsonl"), "validation_fraction": 0.2, "workers": 1}
    path = recipe(
        tmp_path, tiny_model, stages=["rlvr"], outcomes=outcomes, rlvr={"trl": {**GRPO, "max_steps": 1}}
    )
    done = train(str(path))
    assert done.returncode == 0, done.stderr
    assert "verified tasks: 16 to train on, 4 held out" in done.stderr
    rows = whole_lines(tmp_path / "run/outcomes.jsonl")
    assert {row["task_id"].partition("-")[0] for row in rows} == {"mine"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["outcomes=null"], "stages has rlvr: the table `outcomes`"),
        (["rlvr.sampling.steps_per_trajectory=2"], "tasks are not steps of a trajectory"),
        (["srl.sampling.steps_per_trajectory=3"], "srl.sampling: a batch has 2 groups"),
        (["steps.context_window=-3"], "steps.context_window"),
        (["model.lora={r: -1}"], "model.lora.r: Input should be greater than or equal to 1"),
        (["data.path=tests"], "tests is a folder"),
        (["stages=[srl,srl]"], "duplicate stage"),
        (["outcomes.source=nowhere.jsonl"], "nowhere.jsonl"),
        (["outcomes.sorce=x"], "unknown key outcomes.sorce; did you mean source?"),
        (["actions.format=xml"], "whole solutions are for actions.format math-step"),
        (["stages=[sft]", "outcomes=null", "validation.steps=false"], "nothing is measured"),
        (["rlvr.trl.lerning_rate=1"], "unknown key rlvr.trl.lerning_rate; did you mean learning_rate?"),
        (["outcomes.select.profile=nowhere.jsonl"], "make one with `python -m harness.profile`"),
        (["data.select.profile=nowhere.jsonl"], "make one with `python -m harness.profile`"),
        (["outcomes.domain=swe", "outcomes.tasks.ids=[nothing]"], "no instance nothing"),
    ],
)
def test_bad_input_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        main(["math_demo", *overrides, "--dry-run"])
    assert message in str(error.value)


def test_trajectories_without_answers_cannot_be_verified(tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in (ROOT / "harness/demo/math/solved.jsonl").read_text().splitlines()[:30]
    ]
    for row in rows:
        del row["metadata"]["answer"]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"no training trajectory of .* says its answer"):
        main(["math_demo", f"data.path={tmp_path / 'data.jsonl'}", "data.validation_count=5", "--dry-run"])


# --- studies --------------------------------------------------------------------------------


def study(folder: Path, model: Path, **arms: Any) -> Path:
    path = recipe(
        folder,
        model,
        name="study",
        data={
            "path": "math-demo",
            "split_by": "instance",
            "validation_count": 6,
            "validation_steps": 3,
            "train_steps": 12,
            "split_seed": 0,
        },
        sft={
            "keep": "last",
            "trl": {"max_steps": 1, "save_steps": 1, "use_cpu": True, "learning_rate": 1e-3},
        },
        study={"seeds": [0, 1], "parallel": 2, "arms": arms},
    )
    return path


def test_a_study_runs_each_arm_with_each_seed_and_compares_them(tiny_model: Path, tmp_path: Path) -> None:
    rlvr = {"stages": ["rlvr"], "rlvr.trl.max_steps": 1}
    path = study(tmp_path, tiny_model, sft={"stages": ["sft"]}, **{"rlvr.1": rlvr})
    done = run(str(path))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "study"
    report = json.loads((folder / "study.json").read_text())
    assert list(report["metrics"]) == ["accuracy", "similarity", "structured"]
    for metric in report["metrics"]:
        table = report["metrics"][metric]
        # Both arms start with the same model: one point.
        stages = [(p["arm"], p["stage"]) for p in table["points"]]
        assert stages == [("sft+rlvr.1", "base"), ("sft", "sft"), ("rlvr.1", "rlvr")]
        assert all(point["by_seed"].keys() == {"0", "1"} for point in table["points"])
        pairs = [(d["from"], d["to"]) for d in table["differences"]]
        assert pairs == [
            ("sft+rlvr.1/base", "sft/sft"),
            ("sft+rlvr.1/base", "rlvr.1/rlvr"),
            ("sft/sft", "rlvr.1/rlvr"),
        ]
        assert (table["baseline"] is None) == (metric == "accuracy")
    assert "| sft+rlvr.1 | base |" in done.stdout
    assert (folder / "study.md").read_text() in done.stdout
    seeds = {
        name: json.loads((folder / name / "manifest.json").read_text())["seed"]
        for name in ("sft-seed0", "sft-seed1", "rlvr.1-seed0", "rlvr.1-seed1")
    }
    assert seeds == {name: int(name[-1]) for name in seeds}
    held_out = [
        {row["task_id"] for row in whole_lines(folder / f"sft-seed{seed}" / "outcomes.jsonl")}
        for seed in (0, 1)
    ]
    assert held_out[0] == held_out[1]
    shutil.rmtree(folder / "rlvr.1-seed1")
    again = run("--resume", str(folder))
    assert again.returncode == 0, again.stderr
    assert "1 of 4 runs to do" in again.stderr
    assert json.loads((folder / "study.json").read_text()) == report


def test_an_arm_that_makes_no_recipe_is_told_before_anything_is_made(
    tiny_model: Path, tmp_path: Path
) -> None:
    for arm, message in (
        ({"stages": ["sft"], "sft.trl.max_stps": 1}, "unknown key sft.trl.max_stps; did you mean max_steps?"),
        ({"stagez": ["sft"]}, "study.arms.one: unknown key stagez; did you mean stages?"),
        ({"seed.x": 1}, "seed is not a table"),
    ):
        done = run(str(study(tmp_path, tiny_model, one=arm)))
        assert done.returncode == 2
        assert message in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "study").exists()


def test_a_run_of_a_study_that_fails_is_named_and_the_others_are_done(
    tiny_model: Path, tmp_path: Path
) -> None:
    path = study(
        tmp_path, tiny_model, good={"stages": ["sft"]}, bad={"stages": ["sft"], "model.name": "./nowhere"}
    )
    done = run(str(path), "study.seeds=[3]")
    assert done.returncode == 1
    assert "1 of 2 runs failed (bad-seed3): see their log.txt" in done.stderr
    assert "bad-seed3: error: model.name: model './nowhere': no such folder" in done.stderr
    assert (tmp_path / "study/good-seed3/report.json").exists()


# --- profiles --------------------------------------------------------------------------------


def profile(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "harness.profile", *words, env=environment)


def test_a_profile_of_steps_is_resumed_exactly_and_selects(tiny_model: Path, tmp_path: Path) -> None:
    rewards = [{"name": "tests.plugin_rewards:letters_of_even_steps"}]
    path = recipe(
        tmp_path, tiny_model, rewards=rewards, srl={"keep": "last", "trl": {**GRPO, "max_steps": 1}}
    )
    dry = profile(str(path), "--dry-run")
    assert "12 training steps x 4 completions, at most 1,152 tokens" in dry.stdout
    done = profile(str(path), "--name", "p")
    assert done.returncode == 0, done.stderr
    rows = whole_lines(tmp_path / "p/profile.jsonl")
    assert len(rows) == 12
    assert all(len(row["rewards"]) == 4 for row in rows)
    assert {bool(row["variance"]) for row in rows} == {True, False}
    manifest = json.loads((tmp_path / "p/manifest.json").read_text())
    assert manifest["summary"]["with_spread"] == sum(bool(row["variance"]) for row in rows)
    lines = (tmp_path / "p/profile.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "p/profile.jsonl").write_text("".join(lines[:5]) + lines[5][:20])
    again = profile("--resume", str(tmp_path / "p"))
    assert again.returncode == 0, again.stderr
    assert "7 left to sample" in again.stderr
    assert whole_lines(tmp_path / "p/profile.jsonl") == rows
    trained = run(
        str(path), "name=selected", "stages=[srl]", f"data.select.profile={tmp_path / 'p/profile.jsonl'}"
    )
    assert trained.returncode == 0, trained.stderr
    chosen = whole_lines(tmp_path / "selected/selection.jsonl")
    spread = {(row["trajectory_id"], row["step_index"]) for row in rows if row["variance"]}
    assert {(c["trajectory_id"], c["step_index"]) for c in chosen if c["kept"]} == spread
    reasons = json.loads((tmp_path / "selected/manifest.json").read_text())["data"]["left_out"]["train"]
    assert reasons["variance of the initial policy's rewards <= 0"] == sum(
        not row["variance"] for row in rows
    )
    sampled = {
        (g["trajectory_id"], g["step_index"]) for g in whole_lines(tmp_path / "selected/samples.jsonl")
    }
    assert sampled <= spread


def test_what_could_not_be_verified_is_sampled_again_after_the_rest() -> None:
    keys = [(name, 0) for name in "abcd"]
    done = {
        (name, 0): Profile(name=name, step=0, rewards=rewards, format_failures=0)
        for name, rewards in (("a", (1.0, None)), ("c", (0.0, 1.0)))
    }
    assert left_to_sample(keys, done, again=True) == [("b", 0), ("d", 0), ("a", 0)]
    assert left_to_sample(keys, done, again=False) == [("b", 0), ("d", 0)]


def test_a_profile_of_verified_tasks(tiny_model: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny_model, outcomes={"train_tasks": 4, "validation_tasks": 2, "workers": 1})
    done = profile(str(path), "--stage", "rlvr", "--name", "p")
    assert done.returncode == 0, done.stderr
    rows = whole_lines(tmp_path / "p/profile.jsonl")
    assert {row["step_index"] for row in rows} == {0}
    assert len(rows) == 4
    assert "4 profiled: 0 with a spread" in done.stdout
    refused = run(str(path), "stages=[rlvr]", f"outcomes.select.profile={tmp_path / 'p/profile.jsonl'}")
    assert refused.returncode == 1
    assert "none of" in refused.stderr
    assert "not in the profile" in refused.stderr


def test_what_is_no_profile(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"trajectory_id": 1}\n')
    with pytest.raises(UserError, match=r"p\.jsonl:1: not a profile row"):
        main(["math_demo", f"data.select.profile={tmp_path / 'p.jsonl'}", "--dry-run"])
    assert profile("--resume", str(tmp_path)).returncode == 2
