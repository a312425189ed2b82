"""The index of a trajectory file: one pass, the same steps with and without it, never an outdated one."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import UserError
from harness.config.load import load_recipe
from harness.data import step_index
from harness.data.lazy_dataset import lazy_dataset
from harness.data.step_data import StepData, load_step_data
from harness.data.step_index import index_steps, kept_at
from harness.demo import expert_path
from srl_agent.formats import get_format
from srl_agent.steps import TARGET, StepSettings, select_steps
from trajectories.store import StoreError, dump_line, read_lines, read_trajectories

XML = get_format("xml")
SETTINGS = StepSettings(context_window=None, max_prompt_chars=6000)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store large enough for a saved index; with blank lines."""
    monkeypatch.setattr(step_index, "WORTH_KEEPING", 0)
    path = tmp_path / "expert.jsonl"
    path.write_text(expert_path().read_text().replace("\n", "\n\n", 3))
    return path


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files over which a pass was made."""
    made: list[Path] = []

    def reading(path: Path) -> object:
        made.append(path)
        return read_lines(path)

    monkeypatch.setattr(step_index, "read_lines", reading)
    return made


def load(path: Path, *changes: str) -> StepData:
    return load_step_data(load_recipe("demo", [f"data.path={path}", *changes]))


def chosen(data: StepData) -> tuple[object, ...]:
    return data.digest, data.train, data.validation, data.left_out, data.example(data.train[-1])


def test_the_second_start_needs_no_pass_and_has_the_same_steps(store: Path, passes: list[Path]) -> None:
    first = load(store)
    assert passes == [store]
    assert chosen(load(store)) == chosen(first)
    assert passes == [store]
    assert [first.trajectory(i) for i in range(72)] == list(read_trajectories(expert_path()))


def test_the_index_agrees_with_the_selection(store: Path) -> None:
    index = index_steps(store, settings=SETTINGS, action_format=XML)
    refs, _ = select_steps(read_trajectories(store), settings=SETTINGS, action_format=XML)
    found = [
        (i, k)
        for i, entry in enumerate(index.entries)
        for k, status in enumerate(entry.target_status)
        if status == TARGET
    ]
    assert found == [(ref.trajectory, ref.step) for ref in refs]


def another_line(path: Path) -> None:
    first = next(iter(read_trajectories(path)))
    with path.open("a") as out:
        out.write(dump_line(replace(first, trajectory_id="new")))


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("demo__", "dem0__"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def replaced(path: Path) -> None:
    shutil.copy(expert_path(), path.with_name("new"))
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [another_line, same_size_and_time, replaced])
def test_a_changed_file_is_read_again(
    store: Path, passes: list[Path], change: Callable[[Path], None]
) -> None:
    before = load(store)
    change(store)
    after = load(store)
    assert len(passes) == 2
    assert before.digest != after.digest
    read = list(read_trajectories(store))
    assert [after.trajectory(i) for i in range(len(read))] == read


@pytest.mark.parametrize(
    "setting",
    [
        "steps.context_window=0",
        "steps.max_prompt_chars=5000",
        "actions.format=bash-block",
        "actions.tools=bash",
    ],
)
def test_other_settings_are_another_index(store: Path, passes: list[Path], setting: str) -> None:
    load(store)
    found = load(store, setting)
    assert len(passes) == 2
    kept_at(store).unlink()
    assert chosen(found) == chosen(load(store, setting))


def test_other_code_is_another_index(
    store: Path, passes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store)
    monkeypatch.setattr(step_index, "_code_digest", lambda: "another wording")
    load(store)
    assert len(passes) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("ttt", "tnt", 1),
        lambda text: text.replace('"body"', '"nobody"'),
        lambda text: "[]\n[]\n",
        lambda text: text + text,
    ],
)
def test_a_damaged_index_is_made_anew(store: Path, passes: list[Path], damage: Callable[[str], str]) -> None:
    whole = chosen(load(store))
    kept = kept_at(store)
    text = kept.read_text()
    kept.write_text(damage(text))
    assert kept.read_text() != text
    assert chosen(load(store)) == whole
    assert len(passes) == 2
    assert kept.read_text() == text


def test_an_index_that_cannot_be_saved_is_made_each_time(store: Path, passes: list[Path]) -> None:
    kept_at(store).mkdir()  # stands in the way of root, too
    assert chosen(load(store)) == chosen(load(store))
    assert len(passes) == 2
    assert sorted(path.name for path in store.parent.iterdir()) == [".expert.jsonl.steps", "expert.jsonl"]


def test_a_file_that_changes_during_the_pass_leaves_no_index(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changing(path: Path) -> object:
        lines = list(read_lines(path))
        another_line(path)
        return lines

    monkeypatch.setattr(step_index, "read_lines", changing)
    index_steps(store, settings=SETTINGS, action_format=XML)
    assert not kept_at(store).exists()


class PluginSyntax:
    """A syntax from elsewhere."""

    name = "plugin"

    def instructions(self, tools: object) -> str:
        return ""

    def render(self, actions: object) -> str:
        return "x"

    def parse(self, text: str) -> tuple[object, ...]:
        return ()


def test_small_files_and_plugins_leave_no_file_behind(
    store: Path, passes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store, f"actions.format={__name__}:PluginSyntax")
    assert not kept_at(store).exists()
    monkeypatch.setattr(step_index, "WORTH_KEEPING", store.stat().st_size + 1)
    load(store)
    assert not kept_at(store).exists()
    assert len(passes) == 2


def test_the_pass_names_file_and_line(store: Path) -> None:
    with store.open("a") as out:
        out.write('\n{"schema_version": 1}\n')
    with pytest.raises(StoreError, match=r"expert.jsonl:77: not a trajectory"):
        load(store)
    assert not kept_at(store).exists()


def test_a_line_that_changed_after_the_start_is_not_trained_on(store: Path) -> None:
    data = load(store)
    store.write_text(store.read_text().replace('"trajectory_id": "', '"trajectory_id": "x', 1))
    with pytest.raises(
        StoreError, match=r"expert.jsonl:1: the file has changed .* found xdemo\S+ instead of demo"
    ):
        data.trajectory(0)
    with pytest.raises(StoreError, match=r"expert.jsonl:3: not JSON"):
        data.trajectory(1)


def test_resolved_trajectories_can_be_selected(store: Path) -> None:
    rows = [json.loads(line) for line in expert_path().read_text().splitlines()]
    for number, row in enumerate(rows):
        row["resolved"] = True if number % 2 else None
    store.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = load(store, "data.resolved_only=true")
    positions = data.train_trajectories + data.validation_trajectories
    assert sorted(positions) == list(range(1, 72, 2))
    assert {ref.trajectory for ref in data.train} <= set(data.train_trajectories)
    assert data.left_out["train"]["trajectories not known to be right (data.resolved_only)"] == 36
    for row in rows:
        row["resolved"] = False
    store.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match="none of the 72 trajectories"):
        load(store, "data.resolved_only=true")


class Unpicklable:
    """An item that must not be pickled or copied."""

    def __reduce__(self) -> tuple[object, ...]:
        raise AssertionError("the items were pickled")

    def __deepcopy__(self, memo: object) -> "Unpicklable":
        raise AssertionError("the items were copied")


def test_lazy_rows_are_not_pickled_or_copied() -> None:
    """``datasets`` pickles a transform with everything that it refers to; trainers copy data sets."""
    items = [Unpicklable() for _ in range(3)]
    rows = lazy_dataset(items, lambda item: {"position": items.index(item)})
    copied = rows.select([2, 0])
    assert rows[1] == {"position": 1}
    assert copied[:] == {"position": [2, 0]}
    again = lazy_dataset(items, lambda item: {"position": 0})
    assert len({rows._fingerprint, copied._fingerprint, again._fingerprint}) == 3
