"""Plug-in rewards in a run: settings, labels, what they log, the expert's own score; failures are named."""

import json
from pathlib import Path

import pytest

from harness.cli import UserError
from harness.config.load import load_recipe
from harness.data.scoring import make_rewards, score_examples, written
from harness.data.step_data import load_step_data
from harness.train import main
from harness.training.baselines import baseline_lines
from harness.training.trainer_state import before_training
from srl_agent.models.load import load_tokenizer
from tests.tiny_runs import recipe, run, whole_lines

PLUGINS = "tests.plugin_rewards"
MINE = [
    {"name": "structured", "weight": 0.5},
    {"name": f"{PLUGINS}:counted"},
    {"name": f"{PLUGINS}:share_of", "settings": {"wanted": "xyz"}, "label": "xyz", "weight": 0.5},
    {"name": f"{PLUGINS}:share_of", "settings": {"wanted": "e"}, "label": "e", "weight": 0.0},
    {"name": "trl.rewards:think_format_reward", "weight": 0.25},
    {"name": "trl.rewards:get_soft_overlong_punishment", "label": "short", "weight": 0.1}
    | {"settings": {"max_completion_len": 8, "soft_punish_cache": 4}},
]
SMALL = ["validation.base=false", "srl.trl.max_steps=2", "srl.trl.save_steps=2", "srl.sampling.epsilon=-1"]


def test_a_run_trains_on_plug_ins_and_keeps_what_they_log(tiny_model: Path, tmp_path: Path) -> None:
    path = recipe(tmp_path, tiny_model, stages=["srl"], rewards=MINE, rewards_missing="mask")
    done = run(str(path), *SMALL)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    names = {"structured", f"{PLUGINS}:counted", "xyz", "e", "trl.rewards:think_format_reward", "short"}
    logged = whole_lines(folder / "metrics.jsonl")
    trained, held_out = (
        next(row for row in logged if row["kind"] == kind and key in row)
        for kind, key in (("train", "reward"), ("validation", "eval_step_reward"))
    )
    assert trained["longest"] > 0
    assert trained["rewards/xyz/mean"] is not None
    assert held_out["eval_longest"] > 0
    for group in whole_lines(folder / "samples.jsonl"):
        for sample in group["completions"]:
            assert sample["extra"] == {"characters": len(sample["text"])}
            assert sample["rewards"].keys() == names
    for line in whole_lines(folder / "validation.jsonl"):
        assert line["extra"] == {"characters": len(line["completion"])}
        assert line["rewards"]["short"] < 0
    experts = [line for line in whole_lines(folder / "baselines.jsonl") if line["policy"] == "expert"]
    assert len(experts) == 6
    assert {line["rewards"]["structured"] for line in experts} == {1.0}
    report = json.loads((folder / "report.json").read_text())
    label = report["trained_on"]
    assert label == (
        f"0.5 structured + 1 {PLUGINS}:counted + 0.5 xyz + 0.25 trl.rewards:think_format_reward + 0.1 short"
    )
    best, reached = (
        report["baseline"]["best"][label]["mean"],
        report["stages"]["srl"]["rewards"][label]["mean"],
    )
    most = sum(line["reward"] for line in experts) / len(experts)
    skill = report["skill"]["srl"][label]["mean"]
    assert skill == pytest.approx((reached - best) / (most - best) if most > best else None)


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        (
            "[{name: similarity}, {name: similarity}]",
            "duplicate reward similarity: give one of them a `label`",
        ),
        ("[{name: similarity, weight: 0}]", "all weights are 0"),
        ("[{name: similarity, weight: .nan}]", "finite number"),
        ("[{name: similarty}]", "unknown reward 'similarty'.*did you mean similarity"),
        (
            f"[{{name: '{PLUGINS}:share_of', settings: {{wants: a}}}}]",
            "no parameter wants; it takes wanted, scale",
        ),
        (f"[{{name: '{PLUGINS}:share_of'}}]", "needs wanted"),
    ],
)
def test_a_wrong_reward_is_refused_before_the_run(rewards: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["demo", f"rewards={rewards}", "--dry-run"])


def test_a_reward_that_fails_is_named_and_a_sum_is_measured_by_the_experts(tiny_model: Path) -> None:
    small = ["data.train_steps=20", "data.validation_steps=4"]
    tokenizer = load_tokenizer(str(tiny_model))
    data = load_step_data(load_recipe("demo", small))
    failing = make_rewards(
        load_recipe("demo", [f"rewards=[{{name: '{PLUGINS}:fails'}}]"]), data.action_format
    )
    examples = [data.example(ref) for ref in data.validation]
    texts = [written("<think>So.</think>\nls")] * len(examples)
    with pytest.raises(UserError, match=rf"^rewards: {PLUGINS}:fails raised ZeroDivisionError.*in fails\)$"):
        score_examples(failing, examples, texts, tokenizer=tokenizer, state=before_training())
    twice = load_recipe("demo", ["rewards=[{name: similarity, weight: 2}, {name: structured}]"])
    lines = baseline_lines(data, make_rewards(twice, data.action_format), tokenizer)
    assert {line.reward for line in lines if line.policy == "expert"} == {3.0}
