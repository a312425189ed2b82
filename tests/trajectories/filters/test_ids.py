"""Subsets of a data set: a list of ids, the recipe of SWE-agent-LM's trajectories, at most some of each instance."""

import json
from collections import Counter
from pathlib import Path

import pytest

from harness import cli
from harness.convert import main
from harness.data.filters import load_filters
from tests.trajectories.filters.test_filters import made, run
from trajectories import Step, Trajectory
from trajectories.filters.pipeline import FilterPipeline
from trajectories.filters.subsets import Ids, PerInstance, of_models, read_ids
from trajectories.ledger import FileLedger
from trajectories.readers.scaffolds.swe_smith import instance_of
from trajectories.store import dump_line, read_trajectories
from trajectories.task_ids import repository_of
from trajectories.types import JSON


def convert(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def store(path: Path, *trajectories: Trajectory) -> Path:
    path.write_text("".join(map(dump_line, trajectories)))
    return path


def ids(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def smith(traj_id: str, *replies: str) -> dict[str, JSON]:
    said = [{"role": "assistant", "content": reply} for reply in replies]
    messages = [{"role": "user", "content": "Fix it."}, *said]
    return {"traj_id": traj_id, "messages": messages}


LS = "<function=bash>\n<parameter=command>ls</parameter>\n</function>"
TRAJ = "acme__widgets.1a2b3c4d.pr_{}.x1y2z3"


def test_only_the_listed_trajectories_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [smith(TRAJ.format(number), LS) for number in (1, 2, 3, 1)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    wanted = ids(tmp_path / "ids.txt", f"\ufeff{TRAJ.format(3)}\r\n\r\n{TRAJ.format(1)}\n nobody \n")
    out = tmp_path / "o.jsonl"
    assert convert(data, "--out", out, "--ids", wanted, "--filters", "clean") == 0
    kept = [trajectory.trajectory_id for trajectory in read_trajectories(out)]
    assert kept == [TRAJ.format(1)]  # the others do the same: duplicates
    ledger = json.loads((tmp_path / "ledger.json").read_text())
    assert ledger["ids"] == {"named": 3, "found": 2, "missing": 1, "repeated": 1, "extra": 1}
    assert ledger["ids_missing"] == {"nobody": 1}
    assert ledger["total"]["trajectories"]["dropped"] == {"not_in_the_ids": 1, "duplicate": 2}
    assert (
        "ids: 2 of 3 found, 1 other trajectories; 1 more have an id that was found before; missing: nobody"
        in capsys.readouterr().out
    )
    assert "ids.txt" in (tmp_path / "o.card.md").read_text()


def test_other_formats_and_none_that_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = store(
        tmp_path / "in.jsonl", made(run("ls"), trajectory_id="a"), made(run("pwd"), trajectory_id="b~2")
    )
    out = tmp_path / "o.jsonl"
    assert convert(data, "--out", out, "--ids", ids(tmp_path / "one.txt", "b~2"), "--no-card") == 0
    assert [trajectory.trajectory_id for trajectory in read_trajectories(out)] == ["b~2"]
    assert convert(data, "--out", out, "--ids", ids(tmp_path / "none.txt", "c"), "--no-card", "--force") == 1
    said = capsys.readouterr().err
    assert "not_in_the_ids: a" in said
    assert "ids: 0 of 1 found, 2 other trajectories; missing: c" in said


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"", "no id in it; write one a line"),
        (b"\n  \n", "no id in it"),
        (b"a\nb\na\nb\nc\n", "listed more than once: a, b"),
        (b"\x7fELF\xd0\xff", "not a text file"),
    ],
)
def test_lists_that_are_no_lists(
    content: bytes | None, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_bytes(content)
    data = store(tmp_path / "in.jsonl", made(run("ls")))
    assert convert(data, "--out", tmp_path / "o.jsonl", "--ids", path) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "o.jsonl").exists()


def test_a_recipe_may_name_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listed = ids(tmp_path / "ids.txt", "a")
    recipe = ids(tmp_path / "mine.yaml", f"filters:\n  - {{name: ids, file: {listed}}}\n")
    data = store(tmp_path / "in.jsonl", made(run("ls"), trajectory_id="a"), made(run("x"), trajectory_id="b"))
    assert convert(data, "--out", tmp_path / "o.jsonl", "--filters", recipe) == 0
    assert "ids: 1 of 1 found, 1 other trajectories" in capsys.readouterr().out
    ids(recipe, "filters:\n  - {name: ids}")
    assert convert(data, "--out", tmp_path / "o.jsonl", "--filters", recipe, "--force") == 2
    assert "filter 1 (ids): missing key file" in capsys.readouterr().err


def test_many_missing_ids_are_counted_and_a_few_shown() -> None:
    wanted = Ids(f"t{number}" for number in range(9))
    assert wanted.drop("t0") is None
    assert wanted.drop("t0~2") is None
    assert wanted.drop("other") == "not_in_the_ids"
    assert str(wanted) == (
        "ids: 1 of 9 found, 1 other trajectories; 1 more have an id that was found before; "
        "missing: t1, t2, t3, t4, t5 and 3 more"
    )


def test_the_recipe_of_swe_agent_lm() -> None:
    sonnet = "claude-3-7-sonnet-20250219"
    submit = Step(
        thought="Since we have successfully fixed the issue and verified it works, let's submit the changes:",
        actions=run("x").actions,
        observation="",
    )
    data = [
        made(run("a"), submit, trajectory_id="1", instance_id="i", resolved=True, model=sonnet),
        made(run("b"), trajectory_id="2", instance_id="i", resolved=False, model=sonnet),
        made(run("c"), trajectory_id="3", instance_id="i", resolved=None, model=sonnet),
        made(run("d"), trajectory_id="4", instance_id="i", resolved=True, model="claude-3-5-sonnet-20241022"),
        made(run("e"), trajectory_id="5", instance_id="i", resolved=True, model=None),
        made(run("f"), trajectory_id="6", instance_id="i", resolved=True, model=sonnet),
        made(run("g"), trajectory_id="7", instance_id="i", resolved=True, model=sonnet),
        made(run("h"), trajectory_id="8", instance_id="i", resolved=True, model=sonnet),
        made(run("k"), trajectory_id="9", instance_id="j", resolved=True, model=sonnet),
    ]
    pipeline = FilterPipeline([table.make() for table in load_filters("swe-agent-lm")])
    account = FileLedger("f", "x")
    kept = []
    for trajectory in data:
        account.trajectory(trajectory.trajectory_id, len(trajectory.steps))
        kept.append(pipeline.apply(trajectory, account))
    assert [found.trajectory_id for found in kept if found] == ["1", "6", "7", "9"]
    assert len(kept[0].steps) == 1 if kept[0] else False
    assert account.trajectories.dropped == {
        "unresolved": 1, "unverified": 1, "other_model": 2, "instance_has_enough": 1,
    }  # fmt: skip
    account.steps.check("steps")


def test_filters_of_subsets_alone() -> None:
    first, other = (
        made(run("a"), instance_id="i", model="claude-x"),
        made(run("a"), instance_id="j", model="gpt-4o"),
    )
    most = PerInstance(1)
    assert [most(one).dropped for one in (first, first, other)] == [None, "instance_has_enough", None]
    by_model = of_models(["claude-*", "gpt-4?"])
    assert [by_model(one).dropped for one in (first, other)] == [None, None]
    assert by_model(made(run("a"), model="gpt-4")).dropped == "other_model"


@pytest.mark.realdata
def test_the_published_list_of_swe_agent_lm(real_data: Path) -> None:
    listed = read_ids(real_data / "trajectories" / "swesmith_traj_ids_swealm32b.txt")
    instances = Counter(instance_of(traj_id) for traj_id in listed)
    assert len(listed) == 4954
    assert None not in instances
    assert max(instances.values()) == 3
    assert len({repository_of(instance or "") for instance in instances}) == 123
    assert len({repository_of(traj_id) for traj_id in listed}) == 123
