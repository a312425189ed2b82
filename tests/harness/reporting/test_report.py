"""Reports of made-up runs: the figures, the page, unfinished and broken folders."""

import html
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import write_json, write_lines, write_run

from harness import report
from harness.cli import UserError, run
from harness.reporting import html as report_html
from harness.reporting.examples import group_examples
from harness.reporting.read import read_run
from harness.reporting.write import build_report, report_runs
from harness.statistics.binomial import wilson


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def exit_code(*arguments: str | Path) -> int:
    return run(lambda: report.main([str(argument) for argument in arguments]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "demo")


# The figures


def test_figures_follow_from_the_rows(folder: Path) -> None:
    figures = build_report(folder)
    rows = lines(folder / "validation.jsonl")
    means = {}
    for stage, step in (("base", 0), ("sft", 60), ("srl", 60)):
        rewards = [row["reward"] for row in rows if (row["stage"], row["step"]) == (stage, step)]
        means[stage] = sum(rewards) / len(rewards)
        assert figures["stages"][stage]["step_reward"]["mean"] == pytest.approx(means[stage])
    assert figures["trained_stage"] == "srl"
    difference = figures["difference"]
    assert set(difference) == {"mean", "low", "high", "n"}
    assert difference["mean"] == pytest.approx(means["srl"] - means["base"])
    assert difference["low"] < difference["mean"] < difference["high"]
    assert difference["n"] == 8
    assert [(d["from"], d["to"]) for d in figures["differences"]] == [("base", "sft"), ("sft", "srl")]
    best = figures["baseline"]["best"]["similarity"]
    assert (best["policy"], best["mean"]) == (
        "repeat_last_action",
        pytest.approx(0.31),
    )  # first_half reads the expert
    assert figures["baseline"]["best"]["structured"]["policy"] == "best_constant"
    assert figures["baseline"]["policies"]["best_constant"]["action"] == "pytest"
    assert figures["warnings"] == []
    assert sum(kind["steps"] for kind in figures["stages"]["srl"]["by_kind"].values()) == 40


def test_every_stage_has_every_reward_and_its_skill_over_the_best_baseline(folder: Path) -> None:
    figures = build_report(folder)
    rows = lines(folder / "validation.jsonl")
    assert figures["trained_on"] == "similarity"
    for stage, step in (("base", 0), ("sft", 60), ("srl", 60)):
        of_stage = [row for row in rows if (row["stage"], row["step"]) == (stage, step)]
        for name, baseline in (("similarity", 0.31), ("structured", 0.15)):
            mean = sum(row["rewards"][name] for row in of_stage) / len(of_stage)
            assert figures["stages"][stage]["rewards"][name]["mean"] == pytest.approx(mean)
            skill, above = (figures[key][stage][name] for key in ("skill", "above_baseline"))
            assert skill["mean"] == pytest.approx((mean - baseline) / (1 - baseline))
            assert above["mean"] == pytest.approx(mean - baseline)
            assert skill["low"] < skill["mean"] < skill["high"]
            assert (skill["low"] > 0) == (above["low"] > 0) == (above["verdict"] == "above")
    (pair,) = (d for d in figures["differences"] if d["to"] == "srl")
    assert set(pair["rewards"]) == {"similarity", "structured"}
    assert pair["rewards"]["similarity"]["mean"] == pair["mean"]


def test_clipped_completions_are_counted_and_many_are_a_warning(folder: Path) -> None:
    figures = build_report(folder)
    rows = [r for r in lines(folder / "validation.jsonl") if (r["stage"], r["step"]) == ("srl", 60)]
    share = sum(row["clipped"] for row in rows) / len(rows)
    assert figures["clipped_fraction"]["srl"] == {"held_out": share, "sampled": 3 / 60}
    assert figures["clipped_fraction"]["base"]["sampled"] is None
    assert not any("were cut" in warning for warning in figures["warnings"])
    groups = lines(folder / "samples.jsonl")
    for group in groups[:6]:
        group["completions"] = [{**one, "clipped": True} for one in group["completions"]]
    write_lines(folder / "samples.jsonl", groups)
    (warning,) = (w for w in build_report(folder)["warnings"] if "were cut" in w)
    assert warning.startswith(
        "15 % of the completions that srl sampled were cut at srl.trl.max_completion_length"
    )


def test_warnings_of_the_manifest_are_those_of_the_report(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    write_json(folder / "manifest.json", {**manifest, "warnings": ["it cuts 27 of 116 expert actions"]})
    assert build_report(folder)["warnings"] == ["it cuts 27 of 116 expert actions"]


def test_the_headline_leads_with_the_comparisons(folder: Path) -> None:
    told = report_html.headline(build_report(folder))
    for words in (
        "base 0.",
        "SRL − base: +0.",
        "SRL − SFT: +0.",
        "The best baseline (repeat last action) scores 0.310;",
    ):
        assert words in told
    assert "SRL − baseline: +0." in told
    assert "above, the interval excludes 0); skill 0." in told
    rows = lines(folder / "baselines.jsonl")
    for row in rows:
        row["reward"] = 0.9 if row["policy"] == "empty_action" else row["reward"]
    write_lines(folder / "baselines.jsonl", rows)
    told = report_html.headline(build_report(folder))
    assert "The best baseline (empty action) scores 0.900; SRL − baseline: −0." in told
    assert "(−" in told
    assert "below, the interval excludes 0); skill −" in told


def test_a_run_with_floor_json_is_still_read(folder: Path) -> None:
    """floor.json, as runs had it before baselines.jsonl."""
    (folder / "baselines.jsonl").unlink()
    policies = {
        name: {
            "mean": mean,
            "low": mean - 0.04,
            "high": mean + 0.04,
            "n": 40,
            "by_kind": {"read": {"mean": mean, "n": 8}},
        }
        for name, mean in (("repeat_last_action", 0.31), ("first_half", 0.9), ("constant_ls", 0.17))
    }
    write_json(folder / "floor.json", {"reward": "1 similarity", "policies": policies})
    figures = build_report(folder)
    assert figures["baseline"]["best"]["similarity"]["policy"] == "repeat_last_action"
    mean = figures["stages"]["srl"]["step_reward"]["mean"]
    assert figures["skill"]["srl"]["similarity"]["mean"] == pytest.approx((mean - 0.31) / 0.69)
    assert figures["above_baseline"]["srl"] == {}
    assert "SRL is above it, skill 0." in report_html.headline(figures)
    assert report_runs([folder]).html.exists()


def test_the_control_is_compared_with_rl_and_leads_to_no_stage(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "demo", stages=("sft", "srl", "sft_control"))
    figures = build_report(folder)
    assert figures["trained_stage"] == "srl"
    pairs = [(d["from"], d["to"]) for d in figures["differences"]]
    assert pairs == [("base", "sft"), ("sft", "srl"), ("sft", "sft_control"), ("sft_control", "srl")]
    assert "SRL − SFT for the same time: " in report_html.headline(figures)
    assert "Not measured in this run" not in report_html.headline(figures)
    page = report_runs([folder]).html.read_text(encoding="utf-8")
    assert "SFT for the same time" in page
    best = {"checkpoint": None, "step": 0, "eval_step_reward": 0.3, "improved": False}
    write_json(folder / "checkpoints/sft_control/best.json", best)
    assert build_report(folder)["stages"]["sft_control"]["of_stage"] == "sft"


@pytest.mark.parametrize(
    ("stages", "is_told"), [(("sft", "srl"), True), (("srl",), False), (("sft",), False)]
)
def test_rl_without_its_control_says_that_it_was_not_measured(
    tmp_path: Path, stages: tuple[str, ...], is_told: bool
) -> None:
    told = report_html.headline(build_report(write_run(tmp_path / "run", stages=stages)))
    assert told.endswith("SFT for the same time (add the stage sft_control).") is is_told


def test_accuracy_is_compared_along_the_chain_and_with_the_control(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "demo", stages=("sft", "rlvr", "sft_control"), tasks=20)
    differences = build_report(folder)["accuracy"]["differences"]
    assert [(d["from"], d["to"]) for d in differences] == [
        ("base", "sft"),
        ("sft", "rlvr"),
        ("sft", "sft_control"),
        ("sft_control", "rlvr"),
        ("base", "rlvr"),
    ]
    assert " rlvr minus base " in report_html.accuracy_headline(build_report(folder))


def test_sampling_counts_add_up(folder: Path) -> None:
    sampling = build_report(folder)["sampling"]["srl"]
    assert sampling["groups"] == 60
    assert sampling["kept"] + sum(sampling["dropped"].values()) == sampling["groups"]
    assert sampling["completions"] == 240


def test_unjudged_steps_are_counted_and_excluded(folder: Path) -> None:
    rows = lines(folder / "validation.jsonl")
    rows[0]["reward"] = None  # base, the first step
    write_lines(folder / "validation.jsonl", rows)
    base = build_report(folder)["stages"]["base"]
    assert base["unjudged"] == 1
    assert base["steps"] == 40
    assert base["step_reward"]["mean"] == pytest.approx(sum(row["reward"] for row in rows[1:40]) / 39)


def test_the_best_step_represents_a_stage_and_the_last_one_is_reported(folder: Path) -> None:
    write_json(folder / "checkpoints/srl/best.json", {"checkpoint": "c", "step": 40, "eval_step_reward": 0.0})
    figures = build_report(folder)
    assert figures["stages"]["srl"]["step"] == 40
    assert figures["last_step"]["step"] == 60


def test_a_stage_without_improvement_ends_with_its_initial_weights(folder: Path) -> None:
    best = {"checkpoint": None, "step": 0, "eval_step_reward": 0.3, "improved": False}
    write_json(folder / "checkpoints/srl/best.json", best)
    figures = build_report(folder)
    assert figures["stages"]["srl"]["step_reward"] == figures["stages"]["sft"]["step_reward"]
    assert figures["stages"]["srl"]["of_stage"] == "sft"
    assert figures["last_step"]["stage"] == "srl"
    assert any("beat the model it started from" in warning for warning in figures["warnings"])
    assert "its start" in report_runs([folder]).html.read_text(encoding="utf-8")


def test_rows_repeated_by_a_resumed_run_count_once(folder: Path) -> None:
    before = build_report(folder)
    validation, samples = lines(folder / "validation.jsonl"), lines(folder / "samples.jsonl")
    write_lines(folder / "validation.jsonl", [*validation, *validation[-40:]])
    write_lines(folder / "samples.jsonl", [*samples, *samples[-20:]])
    assert build_report(folder) == before


def test_examples_are_the_extremes_and_a_typical_group(folder: Path) -> None:
    spreads = [row["reward_std"] for row in lines(folder / "samples.jsonl")]
    examples = group_examples(read_run(folder))
    assert examples[0].spread == max(spreads)
    assert examples[-1].spread == min(spreads)


# The page


def test_page_shows_the_figures_of_the_json(folder: Path) -> None:
    paths = report_runs([folder])
    figures = json.loads(paths.json.read_text(encoding="utf-8"))
    page = paths.html.read_text(encoding="utf-8")
    assert figures == build_report(folder)
    for stage in figures["stages"].values():
        assert report_html.number(stage["step_reward"]["mean"]) in page
        assert report_html.span(stage["step_reward"]) in page
        assert report_html.percent(stage["format_rate"]) in page
        for kind in stage["by_kind"].values():
            assert report_html.number(kind["mean"]) in page
    assert report_html.signed(figures["difference"]["mean"]) in page
    assert report_html.span(figures["difference"], True) in page
    assert html.escape(report_html.headline(figures)) in page


def test_page_loads_nothing_from_a_network(folder: Path) -> None:
    page = report_runs([folder]).html.read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r"<(script|link|iframe|img|object)\b|@import|url\((?!#)", page)
    assert all(target.startswith("#") for target in re.findall(r'(?:href|src)="([^"]*)"', page))
    assert page.count("<svg") == 6
    ids = re.findall(r' id="([^"]*)"', page)
    assert len(ids) == len(set(ids)), "two charts share an id"


def test_hostile_text_is_escaped_and_odd_characters_survive(tmp_path: Path) -> None:
    hostile = (
        "</pre><script>alert('x')</script><img src=https://example.invalid/x onerror=y>{{ 7*7 }}\ud83d\x00$_$"
    )
    folder = write_run(tmp_path / "hostile", text=hostile)
    rows = lines(folder / "validation.jsonl")
    for row in rows:
        row["kind"] = f"<b>{row['kind']}$^$"
    write_lines(folder / "validation.jsonl", rows)
    (folder / "config.yaml").write_text("note: </pre><script>", encoding="utf-8")
    page = report_runs([folder]).html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>edit" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page


def test_long_completions_are_cut_in_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "long", text="x" * 200_000)
    paths = report_runs([folder])
    assert "characters more" in paths.html.read_text(encoding="utf-8")
    assert paths.html.stat().st_size < 1_000_000


# Unfinished runs


def test_a_run_that_has_just_started_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "begun"
    manifest = {"schema_version": 1, "run_name": "begun", "status": "running"}
    write_json(folder / "manifest.json", manifest)
    assert exit_code(folder) == 0
    figures = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert figures["difference"] is None
    assert figures["trained_stage"] is None
    told = capsys.readouterr()
    assert "no trained stage was evaluated yet" in told.out
    assert "the run is not finished (status: running)" in told.err


def test_empty_metrics_and_a_run_without_trained_stage(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "base-only", stages=(), status="interrupted")
    (folder / "samples.jsonl").write_text("")
    figures = json.loads(report_runs([folder]).json.read_text(encoding="utf-8"))
    assert figures["curves"]["training"] == {}
    assert list(figures["stages"]) == ["base"]
    assert figures["difference"] is None


def test_a_run_of_sft_alone_samples_no_groups_and_is_complete(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "sft", stages=("sft",))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "stages": ["sft"]}))
    (folder / "samples.jsonl").unlink()
    assert not any("samples.jsonl" in warning for warning in build_report(folder)["warnings"])


def test_an_evaluation_cut_off_halfway_is_excluded(folder: Path) -> None:
    (folder / "checkpoints/srl/best.json").unlink()
    write_lines(folder / "validation.jsonl", lines(folder / "validation.jsonl")[:-15])
    figures = build_report(folder)
    assert figures["stages"]["srl"]["step"] == 40
    assert any("has 25 of 40" in warning for warning in figures["warnings"])


def test_a_step_with_several_samples_counts_once_by_their_mean(folder: Path) -> None:
    path = folder / "validation.jsonl"
    greedy = lines(path)
    before = build_report(folder)
    broken = {"format_error": "no call", "exact_match": False, "clipped": True, "reward": -1.0}
    failed = [{**row, **broken, "rewards": dict.fromkeys(row["rewards"], -1.0)} for row in greedy]
    write_lines(
        path, [{**r, "sample": n} for pair in zip(greedy, failed, strict=True) for n, r in enumerate(pair)]
    )
    after = build_report(folder)
    for stage, figures in after["stages"].items():
        alone = before["stages"][stage]
        assert figures["steps"] == alone["steps"] == 40
        assert figures["step_reward"]["n"] == alone["step_reward"]["n"] == 8
        for name in ("similarity", "structured"):
            expected = (alone["rewards"][name]["mean"] - 1) / 2
            assert figures["rewards"][name]["mean"] == pytest.approx(expected)
        for share in ("format_rate", "exact_match_rate"):
            assert figures[share] == pytest.approx(alone[share] / 2)
        assert figures["clipped_fraction"] == pytest.approx((alone["clipped_fraction"] + 1) / 2)
        assert figures["reward_if_well_formed"] == pytest.approx(alone["reward_if_well_formed"])
    assert after["difference"]["mean"] == pytest.approx(before["difference"]["mean"] / 2)
    rows = lines(path)
    last = rows[-1]
    last |= {"reward": None, "rewards": dict.fromkeys(last["rewards"])}
    write_lines(path, rows)
    assert build_report(folder)["stages"][last["stage"]]["unjudged"] == 1
    (folder / "checkpoints/srl/best.json").unlink()
    write_lines(path, lines(path)[:-1])  # killed before the last sample was written
    assert any("has 79 of 80 held-out completions" in warning for warning in build_report(folder)["warnings"])


def test_a_single_validation_trajectory_has_no_interval(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "single", trajectories=1)
    figures = json.loads(report_runs([folder]).json.read_text(encoding="utf-8"))
    assert (figures["difference"]["low"], figures["difference"]["n"]) == (None, 1)
    assert figures["verdict"] == "too small to tell"


# Several runs


def test_runs_side_by_side_are_paired(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_run(tmp_path / "sft-only", stages=("sft",), gain=0.02)
    assert exit_code(folder, other) == 0
    out = tmp_path / "comparison"
    comparison = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert str(out / "report.html") in capsys.readouterr().out
    (pair,) = comparison["differences"]
    runs = {name: figures["stages"][figures["trained_stage"]] for name, figures in comparison["runs"].items()}
    expected = runs["sft-only"]["step_reward"]["mean"] - runs["demo"]["step_reward"]["mean"]
    assert (pair["from"], pair["to"], pair["steps"], pair["n"]) == ("demo", "sft-only", 40, 8)
    assert pair["mean"] == pytest.approx(expected)
    assert report_html.signed(pair["mean"]) in (out / "report.html").read_text(encoding="utf-8")


def test_runs_on_different_validation_steps_are_not_compared(folder: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", text="!", seed=3)  # same names, other expert actions
    assert exit_code(folder, other, "--out", tmp_path / "both") == 0
    comparison = json.loads((tmp_path / "both/report.json").read_text(encoding="utf-8"))
    assert comparison["differences"][0]["mean"] is None
    assert "share no held-out step" in comparison["warnings"][0]
    assert comparison["settings"] == {"seed": {"demo": "0", "other": "3"}}


def test_the_same_run_twice_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(folder, folder) == 1
    assert "given twice" in capsys.readouterr().err


# Bad input


@pytest.mark.parametrize(
    ("path", "message"),
    [("nowhere", "does not exist"), ("", "not the folder of a run"), ("file", "is a file, not a folder")],
)
def test_not_a_run(tmp_path: Path, path: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    assert exit_code(tmp_path / path) == 1
    told = capsys.readouterr().err
    assert message in told
    assert "python -m harness.train" in told


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "validation.jsonl"])
def test_torn_last_line_is_a_warning(folder: Path, name: str) -> None:
    before = build_report(folder)
    with (folder / name).open("ab") as out:
        out.write('{"stage": "srl", "step": 61, "completion": "\u00e9'.encode()[:-1])
    figures = build_report(folder)
    assert figures["stages"] == before["stages"]
    (warning,) = figures["warnings"]
    assert f"the last line of {name}" in warning
    assert "cut off" in warning


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "validation.jsonl"])
@pytest.mark.parametrize(
    "broken", ['{"stage": "srl", "st', "[1]", '{"step": 1}', '{"stage": "srl", "step": "x"}']
)
def test_broken_line_in_the_middle_is_named(
    folder: Path, name: str, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = (folder / name).read_text(encoding="utf-8").splitlines()
    texts[4] = broken
    (folder / name).write_text("\n".join(texts) + "\n", encoding="utf-8")
    assert exit_code(folder) == 1
    assert f"{folder / name}:5: " in capsys.readouterr().err
    assert not (folder / "report.json").exists()


@pytest.mark.parametrize("name", ["manifest.json", "floor.json", "checkpoints/srl/best.json"])
@pytest.mark.parametrize("content", ["{", "[]", "{}", "\xff"])
def test_broken_small_file_is_named(
    folder: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(content, encoding="latin-1")
    assert exit_code(folder) == 1
    assert str(folder / name) in capsys.readouterr().err


def test_out_that_is_a_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").write_text("x")
    assert exit_code(folder, "--out", tmp_path / "out") == 2
    assert "is a file, not a folder" in capsys.readouterr().err


def test_write_failure_keeps_the_earlier_report_and_leaves_nothing_half_written(folder: Path) -> None:
    report_runs([folder])
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"  # a file may have 4 kB: a full disk
        "from harness import report; from harness.cli import run\n"
        f"sys.exit(run(lambda: report.main([{str(folder)!r}])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == files


def test_ctrl_c_ends_quietly(folder: Path) -> None:
    samples = folder / "samples.jsonl"
    samples.unlink()
    os.mkfifo(samples)  # reading it waits for ever
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.report", str(folder)], stderr=subprocess.PIPE, text=True
    )
    writer = os.open(samples, os.O_WRONLY)  # opens only once the command reads
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    os.close(writer)
    assert process.returncode == 130
    assert told.strip() == "interrupted"
    assert not list(folder.glob("*report*"))


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness.report\ntry: harness.report.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'matplotlib', 'jinja2', 'torch', 'yaml', 'rich'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_user_error_is_what_a_caller_sees(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a run"):
        report_runs([tmp_path])


# Verified answers


@pytest.fixture
def verified(tmp_path: Path) -> Path:
    """A run that also measured 40 tasks: base solved 8 of them, sft 14, srl 20."""
    return write_run(tmp_path / "verified", tasks=40)


def change_outcomes(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    rows = lines(folder / "outcomes.jsonl")
    for row in rows:
        change(row)
    write_lines(folder / "outcomes.jsonl", rows)


def test_a_run_without_verified_tasks_says_nothing_of_them(folder: Path) -> None:
    assert build_report(folder)["accuracy"] is None
    assert report_html.accuracy_headline(build_report(folder)) == ""
    assert "Verified answers" not in report_runs([folder]).html.read_text(encoding="utf-8")


def test_accuracy_has_wilson_intervals_stage_by_stage(verified: Path) -> None:
    accuracy = build_report(verified)["accuracy"]
    for stage, solved in {"base": 8, "sft": 14, "srl": 20}.items():
        found = accuracy["stages"][stage]
        assert found == {**wilson(solved, 40).as_json(), "unjudged": 0, "answer_rate": 39 / 40}
    assert build_report(verified)["stages"]["srl"]["steps"] == 40  # the steps are measured as before


def test_accuracy_differences_are_paired_and_tested(verified: Path) -> None:
    pairs = build_report(verified)["accuracy"]["differences"]
    assert [(pair["from"], pair["to"]) for pair in pairs] == [
        ("base", "sft"),
        ("sft", "srl"),
        ("base", "srl"),
    ]
    for pair, gained in zip(pairs, (6, 6, 12), strict=True):
        assert pair["mean"] == pytest.approx(gained / 40)
        assert pair["low"] < pair["mean"] < pair["high"]
        assert pair["n"] == 40
        assert pair["p_value"] == pytest.approx(2 / 2**gained)
        assert pair["verdict"] == "above"  # 6 of 6: p = 0.031


def test_gains_and_losses_that_cancel_are_too_small_to_tell(verified: Path) -> None:
    def worse(row: dict[str, Any]) -> None:
        if row["stage"] == "srl" and row["step"] == 60:
            row["reward"] = float(8 <= int(row["trajectory_id"].partition("-")[2]) < 16)

    change_outcomes(verified, worse)
    last = build_report(verified)["accuracy"]["differences"][-1]
    assert (last["mean"], last["p_value"], last["verdict"]) == (0.0, 1.0, "too small to tell")
    assert last["low"] < 0 < last["high"]


def test_unjudged_answers_are_counted_apart(verified: Path) -> None:
    def unjudged(row: dict[str, Any]) -> None:
        if (row["stage"], row["step"]) == ("srl", 60) and row["trajectory_id"] in ("math-0", "math-39"):
            row["reward"] = None

    change_outcomes(verified, unjudged)
    accuracy = build_report(verified)["accuracy"]
    srl = accuracy["stages"]["srl"]
    assert (srl["successes"], srl["n"], srl["unjudged"]) == (19, 38, 2)
    assert accuracy["differences"][-1]["n"] == 38  # tasks that both judged
    assert accuracy["stages"]["base"]["n"] == 40
    assert '<td class="n">2</td><td class="n">38</td>' in report_runs([verified]).html.read_text(
        encoding="utf-8"
    )


def test_nothing_judged_has_no_accuracy(verified: Path) -> None:
    change_outcomes(verified, lambda row: row.update(reward=None))
    figures = build_report(verified)
    assert figures["accuracy"]["stages"]["srl"]["mean"] is None
    assert figures["accuracy"]["differences"][-1]["verdict"] is None
    assert "no task in common" in report_runs([verified]).html.read_text(encoding="utf-8")
    assert "no interval" in report_html.accuracy_headline(figures)


def test_the_page_and_the_terminal_show_the_accuracy(
    verified: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(verified) == 0
    told = capsys.readouterr().out
    page = (verified / "report.html").read_text(encoding="utf-8")
    figures = json.loads((verified / "report.json").read_text(encoding="utf-8"))
    sentence = report_html.accuracy_headline(figures)
    assert sentence.startswith(
        "Held-out accuracy, 40 tasks (95 % interval): base 20.0 % (10.5 % to 34.8 %), sft 35.0 %"
    )
    assert sentence.endswith("srl minus base +30.0 points (exact McNemar test, p < 0.001): above.")
    assert sentence in told
    assert html.escape(sentence) in page
    assert "Verified answers to held-out tasks" in page
    for stage in figures["accuracy"]["stages"].values():
        assert report_html.span(stage) in page
        assert report_html.percent(stage["answer_rate"]) in page


def test_hostile_answers_are_escaped(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "hostile", tasks=5, text="</td><script>alert(1)</script>")
    change_outcomes(folder, lambda row: row.update(stage=row["stage"].replace("srl", "<b>srl")))
    page = report_runs([folder]).html.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>srl" not in page


def test_a_run_that_measures_no_steps(verified: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (verified / "validation.jsonl").unlink()
    (verified / "baselines.jsonl").unlink()
    best = {"checkpoint": "c", "step": 40, "eval_accuracy": 0.0}
    write_json(verified / "checkpoints/srl/best.json", best)
    assert exit_code(verified) == 0
    figures = json.loads((verified / "report.json").read_text(encoding="utf-8"))
    assert figures["warnings"] == []
    assert (figures["stages"]["srl"]["step"], figures["stages"]["srl"]["step_reward"]) == (40, None)
    assert figures["accuracy"]["stages"]["srl"]["successes"] == 18
    assert figures["difference"] is None
    told = capsys.readouterr().out
    assert "Held-out step reward: not measured in this run." in told
    assert "srl 45.0 %" in told


def test_a_stage_without_improvement_has_the_accuracy_of_its_start(verified: Path) -> None:
    write_json(verified / "checkpoints/srl/best.json", {"checkpoint": None, "step": 0, "improved": False})
    accuracy = build_report(verified)["accuracy"]
    assert accuracy["stages"]["srl"] == accuracy["stages"]["sft"]
    assert accuracy["differences"][1]["verdict"] == "too small to tell"


def test_answers_repeated_by_a_resumed_run_count_once(verified: Path) -> None:
    before = build_report(verified)
    rows = lines(verified / "outcomes.jsonl")
    write_lines(verified / "outcomes.jsonl", [*rows, *rows[-40:]])
    assert build_report(verified) == before


def test_a_torn_line_of_outcomes_is_a_warning_and_a_broken_one_an_error(
    verified: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = build_report(verified)
    outcomes = verified / "outcomes.jsonl"
    with outcomes.open("a") as out:
        out.write('{"stage": "srl", "st')
    figures = build_report(verified)
    assert figures["accuracy"] == before["accuracy"]
    assert "the last line of outcomes.jsonl" in figures["warnings"][0]
    outcomes.write_text("[1]\n" + outcomes.read_text())
    assert exit_code(verified) == 1
    assert f"{outcomes}:1: not a JSON object but list" in capsys.readouterr().err


def test_answers_in_the_columns_of_a_task_give_the_same_report(verified: Path) -> None:
    """Version 0.1 wrote verified tasks in the columns of a step; both are read."""
    before = build_report(verified)
    step_columns = ("trajectory_id", "step_index", "kind", "expert_action", "rewards", "exact_match")

    def as_task(row: dict[str, Any]) -> None:
        row |= {
            "task_id": row["trajectory_id"],
            "reference": row["expert_action"],
            "solved": row["exact_match"],
        }
        for column in step_columns:
            del row[column]

    change_outcomes(verified, as_task)
    assert build_report(verified) == before


def test_two_runs_are_compared_task_by_task(verified: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", tasks=40, stages=("sft",))

    def fewer(row: dict[str, Any]) -> None:
        if row["stage"] == "sft" and int(row["trajectory_id"].partition("-")[2]) >= 10:
            row["reward"] = 0.0
        if row["trajectory_id"] == "math-5":
            row["expert_action"] = "another answer"  # another task under the same id

    change_outcomes(other, fewer)
    assert exit_code(verified, other, "--out", tmp_path / "both") == 0
    comparison = json.loads((tmp_path / "both/report.json").read_text(encoding="utf-8"))
    (pair,) = comparison["accuracy_differences"]
    assert (pair["from"], pair["to"], pair["n"], pair["verdict"]) == ("verified", "other", 39, "below")
    assert pair["mean"] == pytest.approx(-10 / 39)
    assert pair["p_value"] == pytest.approx(2 / 2**10)
    page = (tmp_path / "both/report.html").read_text(encoding="utf-8")
    assert "Verified answers, run against run" in page
    assert report_html.signed(pair["mean"]) in page


def test_a_run_with_verified_tasks_beside_one_without(verified: Path, folder: Path, tmp_path: Path) -> None:
    assert exit_code(verified, folder, "--out", tmp_path / "both") == 0
    comparison = json.loads((tmp_path / "both/report.json").read_text(encoding="utf-8"))
    assert comparison["accuracy_differences"] == []
    assert "Verified answers" not in (tmp_path / "both/report.html").read_text(encoding="utf-8")


def test_two_runs_that_measure_no_steps_are_compared_by_their_answers(verified: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", tasks=40)
    for run_folder in (verified, other):
        (run_folder / "validation.jsonl").unlink()
        (run_folder / "baselines.jsonl").unlink()
    assert exit_code(verified, other, "--out", tmp_path / "both") == 0
    comparison = json.loads((tmp_path / "both/report.json").read_text(encoding="utf-8"))
    assert comparison["accuracy_differences"][0]["mean"] == 0.0
    assert comparison["warnings"] == []
