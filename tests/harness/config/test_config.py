"""Every shipped recipe loads; a wrong key or value is named with what to do."""

from pathlib import Path

import pytest

from harness.cli import UserError
from harness.config.load import as_yaml, load_recipe, shipped_recipes
from harness.profile import main as profile
from harness.train import main
from harness.training.trl_tables import check_trl_tables, trl_table
from tests.tiny_runs import ROOT

RECIPES = [*shipped_recipes(), *map(str, sorted((ROOT / "benchmarks").glob("*.yaml")))]


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_loads_and_names_real_trl_keys(name: str) -> None:
    check_trl_tables(load_recipe(name))


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_dry_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    embedded = "math-demo" if load_recipe(name).actions.format == "math-step" else "demo"
    without_hub = ["contamination.against=[]", "actions.tools=auto"]
    assert main([name, f"data.path={embedded}", *without_hub, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "nothing was trained" in out
    assert "# validation: " in out


def test_overrides_reach_nested_keys() -> None:
    recipe = load_recipe(
        "demo", ["srl.trl.max_steps=3", "model.lora=null", "steps.context_window=full", "seed=7"]
    )
    assert recipe.srl.trl["max_steps"] == 3
    assert recipe.model.lora is None
    assert (recipe.steps.context_window, recipe.seed) == ("full", 7)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("srl.samplng.epsilon=1", "unknown key srl.samplng; did you mean sampling?"),
        ("sed=1", "unknown key sed; did you mean seed?"),
        ("model.lora.rank=4", "unknown key model.lora.rank"),
        ("seed=many", "seed: Input should be a valid integer"),
        ("seed", "write key=value"),
        ("seed.x=1", "seed is not a table"),
    ],
)
def test_wrong_overrides_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", "\\?")):
        load_recipe("demo", [override])


def test_groups_larger_than_trls_evaluation_batch_are_accepted() -> None:
    groups = ["srl.trl.num_generations=16", "srl.trl.per_device_train_batch_size=32"]
    assert main(["demo", *groups, "--dry-run"]) == 0


def test_wrong_trl_key_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown key srl\.trl\.learning_rat; did you mean learning_rate"):
        check_trl_tables(load_recipe("demo", ["srl.trl.learning_rat=1"]))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("srl.trl.learning_rate=fast", "srl.trl.learning_rate: should be a valid number.*, not 'fast'"),
        ("sft.trl.max_steps=2.5", "sft.trl.max_steps: should be a valid integer.*, not 2.5"),
        ("sft_control.trl.bf16=maybe", "sft_control.trl.bf16: should be a valid boolean.*, not 'maybe'"),
        ("rlvr.trl.model_init_kwargs=[1]", r"rlvr.trl.model_init_kwargs: should be .*, not \[1\]"),
    ],
)
def test_a_trl_value_of_another_type_is_named_before_anything_is_trained(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(["demo", override])


def test_a_learning_rate_without_a_decimal_point_is_a_number() -> None:
    """YAML 1.1 parses 3e-4 as a string."""
    recipe = load_recipe("demo", ["srl.trl.learning_rate=3e-4", "srl.trl.lr_scheduler_type=cosine"])
    table = trl_table(recipe, "srl")
    assert table["learning_rate"] == pytest.approx(3e-4)
    assert table["lr_scheduler_type"] == "cosine"
    assert isinstance(table["max_steps"], int)


def test_numbers_are_those_of_yaml_1_2_everywhere(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "rewards: [{name: similarity, settings: {a: 1e-6, b: '1e-6'}}]\nsrl: {trl: {lr_scheduler_kwargs: {x: 3E4}}}\n"
    )
    recipe = load_recipe(str(path), ["sft.trl.max_steps=1e2", "model.options={revision: '1e6'}"])
    assert recipe.rewards[0].settings == {"a": 1e-6, "b": "1e-6"}
    assert recipe.srl.trl["lr_scheduler_kwargs"] == {"x": 3e4}
    assert repr(trl_table(recipe, "sft")["max_steps"]) == "100"
    (tmp_path / "written.yaml").write_text(as_yaml(recipe))
    assert load_recipe(str(tmp_path / "written.yaml")) == recipe


def test_a_profile_refuses_a_wrong_value_by_its_name() -> None:
    with pytest.raises(UserError, match=r"srl\.trl\.num_generations: should be a valid integer.*, not 'abc'"):
        profile(["demo", "srl.trl.num_generations=abc", "--dry-run"])


def test_a_later_stage_is_refused_before_the_first_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"srl\.trl: .*divisible by num_generations"):
        main(["demo", f"output={tmp_path}", "name=refused", "srl.trl.num_generations=7"])
    assert "sft" not in capsys.readouterr().out


def test_a_missing_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(UserError, match="demo"):
        load_recipe("no-such")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("a: [1,\nb: 2")
    with pytest.raises(UserError, match=r"broken\.yaml: not a YAML recipe"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["stages=[sft, sft_control]"], "sft_control comes after sft and after srl or rlvr"),
        (["stages=[srl, sft_control]"], "sft_control comes after sft and after srl or rlvr"),
        (["stages=[sft, sft_control, srl]"], "sft_control comes after sft and after srl or rlvr"),
        (
            ["stages=[sft, srl, sft_control]", "sft_control.trl.max_steps=5"],
            "its length is the time that RL took",
        ),
        (["sft_control.targets=[solutions]"], "sft_control.targets: whole solutions are for"),
    ],
)
def test_a_control_without_rl_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe("demo", overrides)


def test_greedy_samples_are_refused() -> None:
    with pytest.raises(UserError, match=r"validation: 4 samples at temperature 0 are all alike; set a temp"):
        load_recipe("demo", ["validation.samples=4"])
    assert load_recipe("demo", ["validation.samples=4", "validation.temperature=0.8"]).validation.samples == 4


def test_last_layers_need_module_names_not_a_pattern() -> None:
    last = "model.lora.last_layers=10"
    adapters = load_recipe("demo", [last, "model.lora.target_modules=[q_proj]"]).model.lora
    assert adapters is not None
    assert adapters.last_layers == 10
    with pytest.raises(
        UserError, match=r"model\.lora: last_layers goes with names .* not with a pattern of them$"
    ):
        load_recipe("demo", [last, "model.lora.target_modules=.*q_proj"])


def test_no_stage_starts_from_the_control() -> None:
    with pytest.raises(UserError, match="sft_control comes last"):
        load_recipe("math_demo", ["stages=[sft, srl, sft_control, rlvr]"])
