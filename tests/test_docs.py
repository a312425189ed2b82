"""Run every command and every example of the docs, in a folder as a user would have it."""

import doctest
import importlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import yaml

import harness.convert
from harness.config.evaluation import load_evaluation
from harness.config.load import load_recipe, shipped_recipes
from harness.data.scoring import make_rewards, score_examples, written
from harness.demo import expert_path
from harness.evaluation.folder import EvaluationFolder
from harness.training.trainer_state import before_training
from srl_agent.formats import FormatError, UnrepresentableActionError, get_format
from srl_agent.models.load import load_tokenizer
from srl_agent.steps import StepSettings, render_example, select_steps
from tests.fork_server import run_python
from tests.tiny_runs import ROOT
from tests.trajectories.seeds import SEEDS
from trajectories import Action, Step
from trajectories.readers import READERS, detect
from trajectories.store import read_trajectories

PACKAGES = ("harness", "srl_agent", "environments", "trajectories")
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[str]:
    found: list[str] = []
    for path in DOCS:
        for block in re.findall(
            r"^```sh\n(.*?)^```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            found += [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]
    return list(dict.fromkeys(found))


def files_of_the_pages() -> dict[str, str]:
    """Contents by name: of the first block after a line that names a file, ``like_this.py``."""
    named = r"`(\w+\.(?:py|json))`[^`]*:\n\n```(?:python|json)\n(.*?)^```"
    found = [
        match
        for page in DOCS
        for match in re.findall(named, page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    ]
    assert len(found) == len(dict(found)), "two blocks have one name"
    return dict(found)


def test_the_readme_names_the_make_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [command.split()[1] for command in commands() if command.startswith("make ")]
    assert {"train", "test"} <= set(targets)
    assert all(f"\n{target}:" in makefile for target in targets)


def test_every_line_of_the_blocks_is_a_command_we_know() -> None:
    known = ("make ", "python -m harness.", "python benchmarks/", ". .venv/bin/activate")
    assert [command for command in commands() if not command.startswith(known)] == []


def write_predictions(path: Path) -> None:
    row = {"instance_id": "demo__calc-1", "model_name_or_path": "me", "model_patch": ""}
    path.write_text(json.dumps(row) + "\n")


def write_task(path: Path) -> None:
    """An instance that nobody was trained on."""
    keys = ("instance_id", "repo", "base_commit", "problem_statement", "patch")
    path.write_text(json.dumps(dict.fromkeys(keys, "acme__w-1")) + "\n")


def write_runs(folder: Path) -> None:
    """A file of each format, an archive and a table."""
    for name in (*SEEDS, "packed", "table"):
        (folder / name).mkdir(parents=True)
    for name, lines in SEEDS.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / name / "seed.jsonl").write_text(text)
        with zipfile.ZipFile(folder / "packed/runs.zip", "a") as archive:
            archive.writestr(f"{name}.jsonl", text)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(SEEDS["swe-smith"][:1]), folder / "table/train-0.parquet"
    )


@pytest.fixture
def user_folder(tmp_path: Path, finished: Path) -> Path:
    (tmp_path / "my_runs").mkdir()
    shutil.copy(expert_path(), tmp_path / "my_runs/expert.jsonl")
    (tmp_path / "data").mkdir()
    write_predictions(tmp_path / "preds.jsonl")
    write_task(tmp_path / "my_tasks.jsonl")
    write_runs(tmp_path / "runs")
    judged = EvaluationFolder(tmp_path / "outputs/judged")
    judged.create(load_evaluation("demo", ["tasks.ids=[demo__calc-1]", "judge=[gold]"]))
    for name, text in files_of_the_pages().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    recipe = yaml.safe_load(shipped_recipes()["demo"].read_text(encoding="utf-8"))
    recipe["actions"] = {"format": "my_formats:JsonLines"}
    (tmp_path / "my_recipe.yaml").write_text(yaml.safe_dump(recipe))
    for name in ("first", "second"):
        shutil.copytree(finished, tmp_path / "outputs" / name)
    return tmp_path


def needs_engine(command: str) -> bool:
    return "--clean" in command or ("harness.evaluate" in command and "--resume" in command)


@pytest.mark.timeout(1800)  # some 80 commands, each in its own process
@pytest.mark.parametrize("starting", [False, True])
def test_the_commands_run(user_folder: Path, starting: bool) -> None:
    if starting:  # some of them want the store of the README
        run_command("python -m harness.convert my_runs/ --out data/expert.jsonl", user_folder)
    found = [c for c in commands() if c.startswith("python -m ") and starts_work(c) == starting]
    assert len(found) > 15
    for command in found:
        if not needs_engine(command):
            run_command(command, user_folder)


def test_the_commands_that_need_a_container_engine_run(user_folder: Path, image: str) -> None:
    found = [command for command in commands() if needs_engine(command)]
    assert found
    for command in found:
        run_command(command, user_folder)


def starts_work(command: str) -> bool:
    return any(f"harness.{name}" in command for name in ("train", "evaluate", "profile"))


def run_command(command: str, folder: Path) -> None:
    words = shlex.split(command)[1:]
    if starts_work(command) and "--dry-run" not in words and "--resume" not in words:
        words.append("--dry-run")
    # PYTHONPATH: the copied run names a reward of the tests.
    done = run_python(*words, cwd=folder, env={"PYTHONPATH": str(ROOT)})
    fine = (0, 1) if "harness.doctor" in command else (0,)  # the doctor may find something missing here
    assert done.returncode in fine, (command, done.stderr)
    assert "Traceback" not in done.stderr, command


def modules_with_examples() -> list[str]:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files
        if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_are_right(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_every_format_has_a_page_that_the_overview_links_to() -> None:
    overview = (ROOT / "docs/trajectories.md").read_text(encoding="utf-8")
    together = {"s1k": "math"}
    for name in READERS:
        page = f"formats/{together.get(name, name)}.md"
        assert f"`]({page})" in overview, name
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert f"--format {name}`" in text, name
        assert f" runs/{name}/ " in text, name
    pages = {f"formats/{path.name}" for path in (ROOT / "docs/formats").iterdir()}
    assert pages <= set(re.findall(r"\]\((formats/[^)]+)\)", overview))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_docs_lead_somewhere() -> None:
    for path in DOCS:
        for target in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
            if target.startswith("http"):
                continue
            name, _, anchor = target.partition("#")
            page = path.parent / name if name else path
            assert page.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in anchors(page), f"{path.name}: {target}"


def test_the_overview_of_the_docs_links_to_every_page() -> None:
    overview = ROOT / "docs/README.md"
    linked = set(re.findall(r"\]\(([^)#]+)\)", overview.read_text(encoding="utf-8")))
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {overview.name}
    assert pages <= linked


def test_lines_of_the_docs_are_short() -> None:
    """At most 100 characters, but for tables, code and what cannot be broken."""
    decisions = ROOT / "docs/decisions"
    pages = [page for page in DOCS if page.parent != decisions or page.name >= "0012"]
    for page in (*pages, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        long = [
            line
            for line in text.splitlines()
            if len(line) > 100
            and not line.startswith(("|", "!["))
            and " " in re.sub(r"`[^`]*`", "", line).strip("- ")
        ]
        assert not long, f"{page.name}: {long[0]}"


def test_the_figure_is_what_its_script_draws() -> None:
    drawn = runpy.run_path(str(ROOT / "docs/architecture.py"))
    assert (ROOT / "docs/architecture.svg").read_text(encoding="utf-8") == drawn["draw"]()
    places = {box.place for box in drawn["BOXES"].values() if box.place}
    assert [place for place in sorted(places) if not (ROOT / place).exists()] == []
    assert all(
        box.place or name in ("raw", "checkpoints", "patch", "verdict")
        for name, box in drawn["BOXES"].items()
    )


def readme_section(title: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def listed_folders() -> list[str]:
    """The paths in the file tree of the README; two spaces are one level."""
    block = re.search(r"^```text\n(.*?)^```", readme_section("The folders"), re.DOTALL | re.MULTILINE)
    assert block
    found: list[str] = []
    above: list[str] = []
    for line in block[1].splitlines():
        match = re.fullmatch(r"( *)(\w+)/ +\S.*", line)
        assert match, f"not a folder and a clause: {line}"
        above = [*above[: len(match[1]) // 2], match[2]]
        found.append("/".join(above))
    return found


def test_the_file_tree_of_the_readme_lists_every_folder() -> None:
    listed = listed_folders()
    assert len(listed) == len(set(listed))
    assert {"benchmarks", "docs", "findings", "tests"} <= set(listed)
    below = (ROOT / name for name in (*PACKAGES, "docs"))
    present = {
        folder.relative_to(ROOT).as_posix()
        for top in below
        for folder in (top, *top.rglob("*/"))
        if folder.is_dir() and any(folder.iterdir()) and "__pycache__" not in folder.parts
    }
    inside = {name for name in present if name.startswith("harness/demo/repositories/")}
    assert set(listed) - {"benchmarks", "findings", "tests"} == present - inside


def test_the_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"`([\w/]+\.py)`", readme_section("Where things are"))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_example_of_the_readme_prints_what_it_says(user_folder: Path) -> None:
    section = readme_section("An example in Python")
    printed = re.search(r"^```text\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "example.py"],
        cwd=user_folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed
    assert done.stdout == printed[1]


def test_the_reward_of_the_page_scores_completions(
    user_folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(user_folder))
    name = "my_rewards:same_tools"
    recipe = load_recipe("demo", [f"rewards=[{{name: {name}}}]"])
    action_format = get_format("xml")
    rewards = make_rewards(recipe, action_format)
    trajectory = next(iter(read_trajectories(expert_path())))
    settings = StepSettings()
    refs, _ = select_steps([trajectory], settings=settings, action_format=action_format)
    examples = [
        render_example(trajectory, ref.step, settings=settings, action_format=action_format) for ref in refs
    ]
    tokenizer = load_tokenizer(str(tiny_model))

    def totals(texts: list[str]) -> set[float | None]:
        done, state = list(map(written, texts)), before_training()
        scores = score_examples(rewards, examples, done, tokenizer=tokenizer, state=state)
        return {score.total for score in scores}

    right = [f"<think>So.</think>{example.expert_action}" for example in examples]
    assert totals(right) == {1.0}
    assert totals(["ls"] * len(refs)) == {-1.0}
    call = action_format.render_actions((Action(name="no_such_tool"),))
    other = [f"<think>So.</think>{call}"] * len(refs)
    assert totals(other) == {0.0}
    assert rewards.functions[name]([None], [right[0]], expert_actions=[None]) == [None]


def test_the_action_format_of_the_page_reads_back_what_it_writes(
    user_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(user_folder))
    action_format = get_format("my_formats:JsonLines")
    assert "bash: command" in action_format.render_prompt("Fix it.", ())[0]["content"]
    steps = [step for t in read_trajectories(expert_path()) for step in t.steps if step.actions]
    assert len(steps) > 400
    hard = {"text": 'a "b"\n\u2028</think\\', "list": [1, None, {"deep": -0.5}], "": ""}
    twice = (Action(name="bash", arguments=hard), Action(name="submit"))
    for step in (*steps, Step(thought="Both.", actions=twice, observation="")):
        written = action_format.render(step)
        assert action_format.parse(written) == replace(step, thought=step.thought.strip(), observation="")
    for text in (
        "",
        "ls",
        "[1]",
        '{"tool": "ls"}',
        '{"tool": 1, "arguments": {}}',
        '{"tool": "ls", "arguments": {}} .',
    ):
        with pytest.raises(FormatError):
            action_format.parse(f"<think>So.</think>{text}")
    with pytest.raises(UnrepresentableActionError):
        action_format.render_actions((Action(name="bash", arguments={"n": float("nan")}),))


def test_the_reader_of_the_page_converts_its_run(user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = runpy.run_path(str(user_folder / "my_agent.py"))
    monkeypatch.setitem(READERS, "my-agent", reader["read"])
    monkeypatch.setitem(detect._FORMATS, "my-agent", reader["recognise"])
    out, ledger = user_folder / "data/mine.jsonl", user_folder / "data/mine.ledger.json"
    words = [str(user_folder / "my_run.json"), "--out", str(out), "--ledger", str(ledger)]
    assert harness.convert.main(words) == 0
    (trajectory,) = read_trajectories(out)
    assert (trajectory.trajectory_id, trajectory.source, trajectory.resolved) == ("run-7", "my-agent", True)
    assert [(len(step.actions), step.observation) for step in trajectory.steps] == [
        (1, "widget.py"),
        (0, "Yes."),
        (1, ""),
    ]
    counted = json.loads(ledger.read_text())["formats"]["my-agent"]
    assert counted["steps"] == {"read": 3, "kept": 3, "dropped": {}}
    seeds = [document for lines in SEEDS.values() for document in lines]
    assert Counter(map(reader["recognise"], seeds)) == {None: len(seeds)}
