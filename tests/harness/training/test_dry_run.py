"""A dry run names every mistake of a recipe at once, and a real run refuses what the dry run refuses."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from harness.cli import UserError
from harness.config.evaluation import load_evaluation
from harness.config.load import load_recipe, shipped_recipes
from harness.convert import main as convert
from harness.data import step_index
from harness.data.step_data import load_step_data
from harness.demo import expert_path
from harness.train import main
from harness.training.inputs import load_inputs
from tests.conftest import TEMPLATE
from tests.tiny_runs import recipe

WRONG_REWARDS = '''
"""Rewards with mistakes."""

from srl_agent.rewards import completion_text


def upside_down(prompts, completions, *, expert_action, **columns):
    return [-float(e in completion_text(c)) for c, e in zip(completions, expert_action)]


def raising(prompts, completions, **columns):
    raise KeyError("no_such_column")


def unjudging(prompts, completions, **columns):
    return [None] * len(completions)
'''
UPPER_CASE = TEMPLATE.replace("message['content']", "message['content'] | upper")
OPENS_THOUGHT = TEMPLATE.replace("assistant\n", "assistant\n<think>\n")


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe, rewards and models with mistakes, and a profile that is none."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "wrong_rewards.py").write_text(WRONG_REWARDS)
    (tmp_path / "profile.jsonl").write_text(
        '{"trajectory_id": "a", "step_index": 0, "rewards": ["high"], "format_failures": 0}\n'
    )
    recipe(tmp_path, tiny_model, rewards=[{"name": "structured"}])
    for name, template, positions in (
        ("short", TEMPLATE, 256),
        ("opens", OPENS_THOUGHT, 4096),
        ("shouts", UPPER_CASE, 4096),
    ):
        model = shutil.copytree(tiny_model, tmp_path / name)
        (model / "chat_template.jinja").write_text(template)
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": positions}))
    return tmp_path


# Each mistake, and what the dry run says of it. The mistakes of one list are in one recipe.
RECIPE_TEXT = {
    "srl.samplng.epsilon=1": "unknown key srl.samplng; did you mean sampling?",
    "sed=1": "unknown key sed; did you mean seed?",
    "steps.context_window=wide": "steps.context_window",
    "seed": "override 'seed': write key=value",
    "srl.trl.learning_rat=1": "unknown key srl.trl.learning_rat; did you mean learning_rate?",
    "rlvr.trl.max_steps=abc": "rlvr.trl.max_steps: should be a valid integer",
    "sft_control.trl.learning_rate=true": "sft_control.trl.learning_rate: should be a number, not True",
    "stages=[sft,srl,srl]": "stages: duplicate stage",
    "sft.trl.output_dir=x": "sft.trl.output_dir is set by the harness",
    "data.path=nowhere.jsonl": "data.path: no file nowhere.jsonl",
    "rewards=[{name: similarity, settings: {autojnk: true}}]": "rewards: settings of similarity",
    "model.name=nowhere/at/all": "model.name: model 'nowhere/at/all': no such folder",
}
FIT = {
    "actions.tools=bash": "call what their prompt does not list: str_replace_editor in ",
    "srl.trl.num_generations=3": "srl.trl: ",
    "contamination.against=[demo]": "contamination",
    "model.lora={target_modules: [no_proj]}": "model.lora: Target modules ('no_proj',) not found",
    "model.options={atn_implementation: eager}": "model.options.atn_implementation: neither an option",
    "srl.sampling.epsilon=5": "every group would be dropped",
    "validation.max_new_tokens=9": "warning: validation.max_new_tokens is 9 and cuts 6 of 6 expert actions",
}
SMALL = {
    "data.train_steps=3": "srl: 3 training steps are fewer than a batch of 4 groups of 4 completions",
    "model.name=short": "3 prompts are longer alone",
    "steps.max_action_chars=400": "longer than the model's context of 256 tokens",
    "rewards=[{name: 'wrong_rewards:raising'}]": "wrong_rewards:raising raised KeyError",
}
OTHERS = {
    "model.name=opens": "model: its template opens <think> where an answer begins",
    "steps.thoughts=none": "srl: model 'opens': the expert's own completion counts as malformed",
    "model.dtype=bfloat16": "sft.trl.learning_rate is 5e-07 and model.dtype bfloat16",
    "sft.trl.learning_rate=5e-7": "most weights do not move",
    "srl.trl.save_steps=3": "srl.trl: save_steps (3) must be a multiple of 2",
    "rewards=[{name: 'wrong_rewards:upside_down'}, {name: 'wrong_rewards:unjudging'}]": "does not prefer the expert",
    "srl.trl.max_completion_length=30": "wrong_rewards:unjudging judges none of 20 expert actions",
}
PROFILE = {
    "data.select.profile=profile.jsonl": "profile.jsonl:1: not a profile row: rewards: should be a valid number",
    "model.name=shouts": "model.name: model 'shouts': its chat template does not write plain text messages",
}
LISTS = [RECIPE_TEXT, FIT, SMALL, OTHERS, PROFILE]


def dry_run(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return all that a dry run of a wrong recipe says."""
    with pytest.raises(UserError) as refused:
        main(["recipe.yaml", *overrides, "--dry-run"])
    return capsys.readouterr().out + str(refused.value)


@pytest.mark.parametrize("mistakes", LISTS, ids=["text", "fit", "small", "others", "profile"])
def test_every_mistake_is_named(
    mistakes: dict[str, str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sum(map(len, LISTS)) > 20
    said = dry_run(list(mistakes), capsys)
    assert {m: text for m, text in mistakes.items() if text not in said} == {}, said


def test_a_run_refuses_what_its_dry_run_refuses(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = dry_run(list(SMALL), capsys)
    with pytest.raises(UserError) as refused:
        main(["recipe.yaml", *SMALL])
    problems = [
        line.partition(" (per_device")[0] for line in str(refused.value).splitlines()
    ]  # processes differ
    assert len(problems) > 3
    assert [problem for problem in problems if problem not in said] == []
    assert not (folder / "run").exists()


def test_a_right_recipe_passes_and_shows_its_rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            ["recipe.yaml", "validation.max_new_tokens=900", "srl.trl.max_completion_length=900", "--dry-run"]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "warning" not in said
    assert "# sft: 40 rows, 2 a batch, on one process, times N on N: 6 updates, 0.3 epochs" in said
    assert "# srl: 40 training steps, a batch has 4 groups of 4 completions" in said
    assert "# <|im_start|>system\n# You solve a software task in a repository" in said
    assert "# <function=bash>" in said.partition("# sft: its target:\n# <think>\n")[2]
    assert "structured: expert 1.000; repeat_last_action 0." in said
    assert "# tools in the prompts: bash(command); str_replace_editor(command, path, " in said
    assert yaml.safe_load(said)["actions"]["tools"] == "swe-agent"


def _renamed(folder: Path) -> Path:
    """The demo's trajectories with another editor, and with a tool that no built-in set has."""
    text = expert_path().read_text().replace('"str_replace_editor"', '"edit_tool"')
    rows = [json.loads(line) for line in text.splitlines()]
    rows[0]["steps"][1]["actions"] = [{"name": "think", "arguments": {"about": "it", "depth": 2}}]
    rows[1]["steps"][0] |= {"target": False, "actions": [{"name": "made_up", "arguments": {}}]}
    (folder / "renamed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "renamed.jsonl"


@pytest.mark.parametrize("limit", [[], ["steps.max_prompt_chars=4000"]])
def test_tools_of_the_data_are_listed_and_recorded(folder: Path, limit: list[str]) -> None:
    auto = load_recipe("recipe.yaml", [f"data.path={_renamed(folder)}", "actions.tools=auto", *limit])
    inputs = load_inputs(auto)
    tools = inputs.recipe.actions.tools
    assert isinstance(tools, dict)
    assert tools.keys() == {"bash", "edit_tool", "submit", "think"}  # a context-only call is not offered
    assert tools["think"] == ("about", "depth")
    assert {"command", "path", "old_str", "new_str"} <= set(tools["edit_tool"])
    assert "think(about, depth)" in inputs.data.example(inputs.data.train[0]).prompt[0]["content"]
    again = load_inputs(inputs.recipe).data  # as a resumed run reads it
    assert (again.tools, again.action_format.tools) == (inputs.data.tools, inputs.data.action_format.tools)
    assert (again.train, again.validation) == (inputs.data.train, inputs.data.validation)
    assert load_step_data(load_recipe("recipe.yaml", ["actions.tools=auto"])).tools == "swe-agent"


def test_a_saved_index_keeps_the_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_index, "WORTH_KEEPING", 0)
    auto = load_recipe("recipe.yaml", [f"data.path={_renamed(folder)}", "actions.tools=auto"])
    first = load_step_data(auto)
    monkeypatch.setattr(step_index, "make_index", None)
    second = load_step_data(auto)
    assert (second.tools, second.train) == (first.tools, first.train)
    assert list(map(second.calls, second.train)) == list(map(first.calls, first.train))


def test_validation_of_a_store_counts_calls_that_prompts_do_not_list(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = str(_renamed(folder))
    convert([store, "--validate"])
    assert "\ntools called: bash(command); submit(); edit_tool(" in capsys.readouterr().out
    convert([store, "--validate", "--recipe", "recipe.yaml"])
    said = capsys.readouterr().out
    assert "call what their prompt does not list: edit_tool in " in said
    assert "think in 1; set actions.tools=auto" in said
    (folder / "auto.yaml").write_text("actions: {tools: auto}\n")
    convert([store, "--validate", "--recipe", "auto.yaml"])
    assert "tools called, all of them listed by the prompts: bash(command)" in capsys.readouterr().out


def test_auto_needs_data(folder: Path) -> None:
    (folder / "auto.yaml").write_text("actions: {tools: auto}\n")
    rows = [
        "--to",
        "trl-prompt-completion",
        "--recipe",
        "auto.yaml",
        "--out",
        "rows.jsonl",
        "--ledger",
        "l.json",
    ]
    with pytest.raises(UserError, match="give one store"):
        convert([str(folder), *rows])
    assert convert([str(_renamed(folder)), *rows]) in (0, None)
    row = json.loads((folder / "rows.jsonl").read_text().splitlines()[0])
    assert "think(about, depth)" in row["prompt"][0]["content"]
    with pytest.raises(UserError, match="auto is for training data"):
        load_evaluation("demo_tool_loop", ["actions.tools=auto"])


def test_a_model_that_is_elsewhere_leaves_its_checks_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe.yaml", "model.name=some-owner/some-model", "--dry-run"]) == 0
    assert (
        "# not checked, as the model some-owner/some-model is not on this machine" in capsys.readouterr().out
    )


@pytest.mark.realdata
@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name.startswith("swe_")])
def test_the_shipped_recipes_list_the_tools_of_real_data(
    name: str, real_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trae, smith = (
        _converted(real_data, tmp_path, "isobench_trae_sonnet45"),
        _converted(real_data, tmp_path, "swesmith"),
    )
    shared = ["data.resolved_only=false", "data.split_by=instance", "contamination.against=[]", "--dry-run"]
    for store in (trae, smith):
        assert main([name, f"data.path={store}", *shared]) == 0
        assert "does not list" not in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"training targets \([345]\d %\) call what their prompt does not list"
    ):
        main([name, f"data.path={trae}", "actions.tools=swe-agent", *shared])
    assert main([name, f"data.path={smith}", "actions.tools=swe-agent", *shared]) == 0


def _converted(real_data: Path, folder: Path, name: str) -> Path:
    store = folder / f"{name}.jsonl"
    words = [
        str(real_data / "trajectories" / name),
        "--out",
        str(store),
        "--ledger",
        str(folder / f"{name}.json"),
    ]
    assert convert(words) in (0, None)
    return store
