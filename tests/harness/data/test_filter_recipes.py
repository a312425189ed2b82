"""``--filters``, ``--licence`` and the card, as a user calls them."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from harness import cli
from harness.config.load import shipped_recipes
from harness.convert import main
from harness.data.filters import FILTERS, load_filters
from harness.demo import expert_path
from tests.trajectories.filters.test_filters import LS, edit, made, run
from trajectories import Step, Trajectory
from trajectories.store import dump_line, read_trajectories
from trajectories.types import JSON


def convert(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def store(path: Path, *trajectories: Trajectory) -> Path:
    path.write_text("".join(map(dump_line, trajectories)))
    return path


def ledger_of(folder: Path) -> JSON:
    return json.loads((folder / "ledger.json").read_text())


def filters(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


DONE = Step(thought="Done.", actions=(), observation="")


def test_clean_drops_marks_and_redacts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = made(
        run("ls /home/ann/w", "a.py"),
        edit("ERROR:\nNo replacement was performed"),
        edit(),
        DONE,
        trajectory_id="good", model="m", resolved=True, task="From ann@acme.com: fix it.",
    )  # fmt: skip
    unresolved = made(LS, run("a"), trajectory_id="bad", resolved=False)
    cheat = made(LS, run("git log --all | grep fix", "1111111 x"), trajectory_id="cheat")
    data = store(
        tmp_path / "in.jsonl",
        good,
        unresolved,
        cheat,
        made(*good.steps, trajectory_id="again", task=good.task),
    )
    out = tmp_path / "o.jsonl"
    assert convert(data, "--out", out, "--filters", "clean", "--licence", "MIT") == 0
    (kept,) = read_trajectories(out)
    assert kept.trajectory_id == "good"
    assert kept.task == "From [EMAIL]: fix it."
    assert [step.target for step in kept.steps] == [True, False, True, True]
    assert kept.metadata == {"licence": "MIT"}
    total = ledger_of(tmp_path)["total"]
    dropped = {"unresolved": 1, "reads_the_future": 1, "duplicate": 1}
    assert total["trajectories"] == {"read": 4, "kept": 1, "dropped": dropped}
    assert total["steps"] == {
        "read": 12,
        "kept": 4,
        "dropped": {"unresolved": 2, "reads_the_future": 2, "duplicate": 4},
    }
    assert total["notes"] == {"context_only:failed_action": 2, "redacted:email": 2, "redacted:home": 2}
    assert "1 trajectories: reads_the_future" in capsys.readouterr().out


def test_without_filters_the_rows_are_as_they_were(tmp_path: Path) -> None:
    assert convert(expert_path(), "--out", tmp_path / "o.jsonl") == 0
    assert (tmp_path / "o.jsonl").read_bytes() == expert_path().read_bytes()


def test_the_card_describes_the_data(tmp_path: Path) -> None:
    rows = [
        made(LS, run("a"), trajectory_id=f"t{n}", instance_id=f"acme__w{n}-1", model="m|x") for n in range(20)
    ]
    out = tmp_path / "data.jsonl"
    assert convert(store(tmp_path / "in.jsonl", *rows), "--out", out, "--licence", "MIT") == 0
    card = (tmp_path / "data.card.md").read_text()
    assert f"sha256 `{sha256(out.read_bytes()).hexdigest()}`" in card
    for line in (
        "- 20 trajectories, 40 steps (40 with an action)",
        "- 20 tasks, 20 repositories",
        "| MIT | 20 |",
        "| m\\|x | 20 |",
        "| not judged | 20 |",
        "## Trajectories read: 20, kept: 20",
        "1. `labels`: licence: MIT, model: None",
        "With seed 0 and fraction 0.1: 18 trajectories for training,",
    ):
        assert line in card.splitlines(), card
    assert "python -m harness.convert" in card


def test_the_card_shows_the_split_of_a_recipe(tmp_path: Path) -> None:
    from harness.config.load import load_recipe
    from harness.data.step_data import load_step_data

    out = tmp_path / "data.jsonl"
    assert convert(expert_path(), "--out", out) == 0
    recipe = load_recipe("demo", [f"data.path={out}", "data.validation_fraction=0.1", "seed=0"])
    data = load_step_data(recipe)
    held_out = sorted({data.trajectory(position).repository for position in data.validation_trajectories})
    card = (tmp_path / "data.card.md").read_text()
    assert f"{len(data.train_trajectories)} trajectories for training," in card
    assert f"{len(data.validation_trajectories)} for validation, of {', '.join(held_out)}." in card


def test_the_card_is_optional_and_overwritten_only_with_force(tmp_path: Path) -> None:
    out, card = tmp_path / "o.jsonl", tmp_path / "o.card.md"
    assert convert(expert_path(), "--out", out, "--no-card") == 0
    assert not card.exists()
    card.write_text("mine")
    out.unlink()
    (tmp_path / "ledger.json").unlink()
    assert convert(expert_path(), "--out", out) == 2
    assert card.read_text() == "mine"
    assert convert(expert_path(), "--out", out, "--force") == 0
    assert card.read_text().startswith("# o.jsonl\n")


def test_the_card_names_no_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ann@acme.com").mkdir()
    data = store(tmp_path / "ann@acme.com/in.jsonl", made(LS))
    assert convert(data.relative_to(tmp_path), "--out", "o.jsonl") == 0
    assert "ann@acme.com" not in (tmp_path / "o.card.md").read_text()


def test_an_empty_output_names_the_filter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = store(tmp_path / "in.jsonl", made(LS, resolved=False))
    assert convert(data, "--out", tmp_path / "o.jsonl", "--filters", "clean") == 1
    assert "unresolved: t" in capsys.readouterr().err
    assert not (tmp_path / "o.card.md").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "filters: [{name: loops, repeat: 3}]",
            "filter 1 (loops): unknown key repeat; did you mean repeats?",
        ),
        ("filters: [{name: loop}]", "not 'loop'; did you mean loops?"),
        ("filters: [loops]", "name is one of verdicts, "),
        ("filters: [{name: loops}, {name: redaction, rules: [mail]}]", "filter 2 (redaction): rules.0: "),
        ("filters: [{name: failed_actions, then: forget}]", "then: Input should be 'keep', 'context', "),
        ("filter: []", "unknown key filter; did you mean filters?"),
        ("filters: 3", "filters is a list of tables"),
        ("- a", "a recipe is a table of keys"),
    ],
)
def test_mistakes_in_a_filters_file_are_named(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = filters(tmp_path / "my.yaml", text)
    assert convert(expert_path(), "--out", tmp_path / "o.jsonl", "--filters", path) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "my.yaml" in error


def test_an_unknown_name_lists_the_shipped_filters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(expert_path(), "--out", tmp_path / "o.jsonl", "--filters", "cleaner") == 2
    assert "clean" in capsys.readouterr().err


def test_the_order_is_that_of_the_file(tmp_path: Path) -> None:
    path = filters(
        tmp_path / "f.yaml", "filters: [{name: duplicates}, {name: verdicts, drop_unverified: true}]"
    )
    assert [table.name for table in load_filters(str(path))] == ["duplicates", "verdicts"]
    data = store(
        tmp_path / "in.jsonl",
        made(LS),
        made(LS, trajectory_id="u", resolved=True),
        made(run("x"), resolved=True),
    )
    assert convert(data, "--out", tmp_path / "o.jsonl", "--filters", path) == 0
    assert ledger_of(tmp_path)["total"]["trajectories"]["dropped"] == {"unverified": 1, "duplicate": 1}


def test_the_shipped_filters_are_all_but_the_labels_and_the_choice_of_a_subset() -> None:
    assert set(shipped_recipes("convert")) == {"clean", "swe-agent-lm"}
    of_subsets = {"ids", "models", "per_instance"}
    assert {table.name for table in load_filters("clean")} == FILTERS.keys() - {"labels", *of_subsets}


def test_marks_reach_the_training_steps(tmp_path: Path) -> None:
    data = store(tmp_path / "in.jsonl", made(LS, edit("ERROR:\nno"), run("pwd"), run("x")))
    out = tmp_path / "rows.jsonl"
    assert (
        convert(
            data,
            "--out",
            out,
            "--filters",
            "clean",
            "--to",
            "trl-prompt-completion",
            "--recipe",
            "swe_srl_small_gpu",
        )
        == 0
    )
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["step_index"] for row in rows] == [0, 2]
    assert ledger_of(tmp_path)["became_no_row"]["context only (a filter of harness.convert)"] == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cleen", "--filters: no recipe 'cleen': give a YAML file, or one of clean, swe-agent-lm; did you mean clean?"),
        ("loops", "--filters takes a recipe, and loops is one filter: write a file with `filters: [{name: loops}]`"),
    ],
)  # fmt: skip
def test_a_misspelt_recipe_is_told_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    data = store(tmp_path / "in.jsonl", made(LS, run("a")))
    assert convert(data, "--out", tmp_path / "o.jsonl", "--filters", name) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [data]
