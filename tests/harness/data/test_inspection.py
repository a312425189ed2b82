"""Inspecting a store: correct figures, reproducible samples, and checks that find violations."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.convert import main
from harness.data.inspection.stats import collect, spread
from harness.data.inspection.validate import CHECKS, EXAMPLES, validate
from harness.demo import expert_path
from srl_agent.formats import ActionFormat, UnrepresentableActionError, get_format
from srl_agent.formats.xml import XmlSyntax
from srl_agent.steps import StepSettings
from trajectories import Action, Step, Trajectory
from trajectories.store import dump_line, read_trajectories, to_json


def command(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def bash(command: str, observation: str = "done", thought: str = "Look.") -> Step:
    action = Action(name="bash", arguments={"command": command})
    return Step(thought=thought, actions=(action,), observation=observation)


def trajectory(number: int = 1, **changes: Any) -> Trajectory:
    table: dict[str, Any] = {
        "trajectory_id": f"t{number}",
        "instance_id": f"acme__w-{number}",
        "task": "It crashes.",
        "steps": (bash("ls src", "a.py"), bash("cat src/a.py", "x = 1"), bash("pytest", "1 passed")),
        "source": "openai",
        "model": "m",
        **changes,
    }
    return Trajectory(**table)


def store(path: Path, *trajectories: Trajectory) -> Path:
    path.write_text("".join(map(dump_line, trajectories)))
    return path


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "expert.jsonl"
    path.write_bytes(expert_path().read_bytes())
    return path


# --- Figures


def test_the_figures_agree_with_counting_by_hand(tmp_path: Path) -> None:
    prose = Step(thought="All is well.", actions=(), observation="")
    edit = Action(name="str_replace_editor", arguments={"command": "create", "path": "a", "file_text": "é"})
    both = Step(thought="", actions=(edit, Action(name="submit", arguments={})), observation="")
    found = collect(
        [
            trajectory(1, resolved=True, patch="diff"),
            trajectory(2, steps=(both, prose), source="atif", model=None, resolved=False),
        ],
        lambda texts: [len(text.split()) for text in texts],
    )
    total = found.total.as_table()
    assert (total["trajectories"], total["calls"], total["with_patch"]) == (2, 5, 1)
    assert total["resolved"] == {"yes": 1, "no": 1}
    assert total["steps"] == {"total": 5, "mean": 2.5, "median": 2, "p90": 3, "max": 3}
    assert (total["kinds"], total["steps_without_action"]) == (
        {"search": 1, "read": 1, "bash": 1, "edit": 1}, 1,
    )  # fmt: skip
    assert total["characters"]["thought"]["max"] == len("All is well.")
    assert total["characters"]["observation"]["max"] == len("1 passed")
    written = (
        '{"name": "str_replace_editor", "arguments": {"command": "create", "path": "a", "file_text": "é"}}'
    )
    assert total["characters"]["action"]["max"] == len(written + '\n{"name": "submit", "arguments": {}}')
    assert total["tokens"]["task"] == {"mean": 2, "median": 2, "p90": 2, "max": 2}
    assert list(found.groups["source"]) == ["openai", "atif"]
    assert found.groups["model"]["-"].trajectories == 1
    assert found.groups["repository"]["acme/w"].trajectories == 2


def test_steps_with_reasoning_and_targets_without_a_thought_are_counted(
    demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = (
        replace(bash("ls"), reasoning="I list."),
        replace(bash("pwd", thought=""), reasoning="Where?"),
        bash("cat a.py", thought=""),
        bash("cat b.py", thought="<think>Which?</think> This."),
        replace(bash("cat c.py", thought=""), target=False),
        Step(thought="Done.", actions=(), observation="", reasoning="It works."),
    )
    total = collect([trajectory(steps=steps)]).total.as_table()
    assert total["steps_with_reasoning"] == 3
    assert (total["targets"], total["targets_without_thought"]) == (4, 2)
    assert command(demo, "--stats") == 0
    assert "0 steps with reasoning; 0 of " in capsys.readouterr().out


def test_every_part_of_a_trajectory_is_in_its_length() -> None:
    found = collect(read_trajectories(expert_path())).total
    parts = ("task", "thought", "action", "observation")
    assert sum(found.characters["trajectory"]) == sum(sum(found.characters[part]) for part in parts)
    assert len(found.characters["observation"]) == sum(found.steps)
    assert sum(found.kinds.values()) + found.without_action == sum(found.steps)


def test_percentiles_are_values_of_the_data() -> None:
    assert spread(range(1, 11)) == {"mean": 5.5, "median": 5, "p90": 10, "max": 10}
    assert spread([7]) == {"mean": 7, "median": 7, "p90": 7, "max": 7}
    assert spread([])["max"] is None


def test_the_command_writes_figures_and_a_picture(
    demo: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(demo, "--stats", "--tokenizer", tiny_model) == 0
    told = capsys.readouterr().out
    table = json.loads(demo.with_suffix(".stats.json").read_text())
    assert table["total"]["trajectories"] == sum(1 for _ in demo.open())
    assert f"{table['total']['steps']['total']:,} steps" in told
    assert "tokens of an observation" in told
    assert sum(group["trajectories"] for group in table["by_repository"].values()) == 72
    assert "13 others" in told  # of 23 repositories the table shows 10
    assert demo.with_suffix(".stats.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    tokens, characters = table["total"]["tokens"], table["total"]["characters"]
    assert 1 < characters["trajectory"]["mean"] / tokens["trajectory"]["mean"] < 10


def test_lone_surrogates_are_counted_and_shown(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = store(tmp_path / "s.jsonl", trajectory(1, task="broken \ud800", steps=(bash("echo \ud800"),) * 3))
    assert command(path, "--stats", "--tokenizer", tiny_model, "--sample", 1) == 0
    assert "broken ?" in capsys.readouterr().out


# --- Samples


def test_a_seed_chooses_the_same_trajectories_again(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for seed in (1, 1, 2):
        assert command(demo, "--sample", 3, "--seed", seed) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] != told[2]
    assert told[0].count(f"{demo}:") == 3
    assert command(demo, "--sample", 100) == 0
    assert capsys.readouterr().out.count(f"{demo}:") == 72


def test_a_trajectory_is_shown_with_all_that_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "x" * 5000
    path = store(
        tmp_path / "s.jsonl", trajectory(7, steps=(bash("ls\npwd", long),), patch="+ fixed", resolved=True)
    )
    assert command(path, "--sample", 1) == 0
    told = capsys.readouterr().out
    for text in (f"{path}:1  t7  openai  m  resolved", "[task]\nIt crashes.", "[step 0] Look.", "> bash",
                 "command: ls\n      pwd", "[3500 characters left out]", "[patch]\n+ fixed"):  # fmt: skip
        assert text in told
    assert long not in told


def test_sampled_rows_are_those_that_the_policy_sees(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(demo, "--sample", 2, "--recipe", "demo") == 0
    told = capsys.readouterr().out
    assert told.count("[system]\nYou solve a software task") == told.count("[expert action]\n<function=") == 2


# --- Validation


@dataclass(frozen=True, kw_only=True)
class Faulty(ActionFormat):
    """A format whose prompts leak."""

    change: Callable[[list[dict[str, str]], list[Step]], None]

    def render_prompt(self, task: str, history: Any, *, omitted: int = 0, title: str = "") -> Any:
        prompt = super().render_prompt(task, history, omitted=omitted, title=title)
        if history:
            self.change(prompt, list(history))
        return prompt


class Deaf(XmlSyntax):
    """A syntax that drops the first letter of every command."""

    def parse(self, text: str) -> tuple[Action, ...]:
        (action,) = super().parse(text)
        return (replace(action, arguments={"command": str(action.arguments["command"])[1:]}),)


def checked(path: Path, action_format: ActionFormat | None = None, **settings: Any) -> dict[str, int]:
    action_format = action_format or get_format("xml")
    found = validate(path, settings=StepSettings(**settings), action_format=action_format)
    assert found.violations.keys() <= CHECKS.keys()
    assert all(len(found.examples[check]) == min(n, EXAMPLES) for check, n in found.violations.items())
    return dict(found.violations)


@pytest.mark.parametrize("window", [0, 1, 2, None])
@pytest.mark.parametrize("format_name", ["xml", "hermes", "bash-block"])
def test_the_demo_is_sound(format_name: str, window: int | None) -> None:
    settings = {"context_window": window, "max_observation_chars": 100, "max_task_chars": 100}
    assert checked(expert_path(), get_format(format_name), **settings) == {}


def test_a_repeated_call_is_no_leak(tmp_path: Path) -> None:
    steps = (bash("pytest -x tests", "1 failed"),) * 4
    assert checked(store(tmp_path / "s.jsonl", trajectory(steps=steps))) == {}


def test_a_call_in_the_instructions_is_no_leak(tmp_path: Path) -> None:
    steps = (bash("ls"), Step(thought="", actions=(Action(name="submit", arguments={}),), observation=""))
    assert checked(store(tmp_path / "s.jsonl", trajectory(steps=steps)), include_last_step=True) == {}


def faulty(change: Callable[[list[dict[str, str]], list[Step]], None]) -> Faulty:
    return Faulty(syntax=XmlSyntax(), tools={"bash": ("command",)}, change=change)


def test_the_target_in_its_own_prompt_is_a_leak(tmp_path: Path) -> None:
    path = store(tmp_path / "s.jsonl", trajectory())
    target = XmlSyntax().render(trajectory().steps[1].actions)
    found = checked(
        path, faulty(lambda prompt, history: prompt[1].update(content=f"{prompt[1]['content']}\n{target}"))
    )
    assert found == {"leak": 1}


@pytest.mark.parametrize("field", ["thought", "observation"])
def test_the_targets_thought_and_observation_in_its_prompt_are_leaks(tmp_path: Path, field: str) -> None:
    text = "only after the step was it known"
    steps = list(trajectory().steps)
    if field == "thought":
        steps[1] = replace(steps[1], thought=text)
    else:
        steps[1] = replace(steps[1], observation=text)
    path = store(tmp_path / "s.jsonl", trajectory(steps=tuple(steps)))
    assert checked(path) == {}
    assert checked(
        path, faulty(lambda prompt, history: prompt[-1].update(content=prompt[-1]["content"] + text))
    ) == {"leak": 1}


@pytest.mark.parametrize(
    "change",
    [
        lambda prompt, history: prompt.append({"role": "assistant", "content": "<function="}),
        lambda prompt, history: prompt.pop(),
        lambda prompt, history: prompt[-1].update(content="OBSERVATION:\n"),
    ],
)
def test_a_prompt_that_ends_elsewhere_is_found(tmp_path: Path, change: Any) -> None:
    assert checked(store(tmp_path / "s.jsonl", trajectory()), faulty(change)) == {"prompt_end": 1}


def test_an_action_that_is_not_parsed_back_is_found(tmp_path: Path) -> None:
    deaf = ActionFormat(syntax=Deaf(), tools={"bash": ("command",)})
    assert checked(store(tmp_path / "s.jsonl", trajectory()), deaf) == {"round_trip": 3}


def test_a_prompt_over_the_limit_is_found(tmp_path: Path) -> None:
    path = store(tmp_path / "s.jsonl", trajectory())
    wordy = faulty(lambda prompt, history: prompt[0].update(content="x" * 5000))
    assert checked(path, wordy) == {}
    assert checked(path, wordy, max_prompt_chars=4000) == {"renders": 1}


def test_an_unrepresentable_target_is_found(tmp_path: Path) -> None:
    def refuse(prompt: list[dict[str, str]], history: list[Step]) -> None:
        raise UnrepresentableActionError("no way")

    assert checked(store(tmp_path / "s.jsonl", trajectory()), faulty(refuse)) == {"renders": 1}


def test_unrepresentable_actions_are_counted_and_no_violation() -> None:
    found = validate(expert_path(), settings=StepSettings(), action_format=get_format("bash-block"))
    assert 0 < found.unwritable < found.actions
    assert not found.violations


def test_broken_records_are_found_and_the_rest_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [to_json(trajectory(number)) for number in range(1, 7)]
    rows[1]["trajectory_id"] = "t1"
    rows[2]["steps"][0]["actions"][0]["arguments"] = "ls"
    rows[3] |= {"task": " ", "instance_id": ""}
    rows[4]["steps"] = [{"thought": "Hm.", "actions": [], "observation": ""}]
    del rows[5]["steps"]
    path = tmp_path / "s.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '\n{"cut"\n' + dump_line(trajectory(8)))
    assert command(path, "--validate") == 1
    told = capsys.readouterr().out
    for line in (
        f"{path}:2: t1 is also on line 1",
        f"{path}:3: an action's arguments in turn 1 is of type str",
        f"{path}:4: task is ' '",
        f"{path}:4: instance_id is ''",
        f"{path}:5: t5",
        f"{path}:6: not a trajectory: KeyError: 'steps'",
        f"{path}:8: not JSON",
    ):
        assert line in told, told
    assert told.startswith(f"{path} as xml (demo): 6 trajectories, ")
    kinds = {"line": "2", "id": "1", "record": "3", "acts": "1", "renders": "ok", "leak": "ok"}
    assert all(f"{count:>6}  {check}: " in told for check, count in kinds.items()), told


# --- The command


def test_a_store_just_written_is_inspected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "o.jsonl"
    assert command(expert_path(), "--out", out, "--validate", "--stats") == 0
    told = capsys.readouterr().out
    assert f"{out} as xml (demo): 72 trajectories" in told
    assert (tmp_path / "o.stats.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "--out is missing: the store to write (or look only: --explain for logs; "
            "--stats, --sample, --validate for a store)",
        ),
        (["--validate", "--force"], "--force, --ledger and --format are for a conversion"),
        (["--sample", "1", "--tokenizer", "x"], "--tokenizer is for --stats"),
        (["--stats", "--recipe", "demo"], "--recipe is for --sample and --validate"),
        (["--stats", "--to", "pivot"], "inspect a store, not pivot rows"),
        (["other.jsonl", "--validate"], "inspection takes exactly one store file"),
        (["--validate", "--recipe", "nothing"], "no recipe 'nothing'"),
        (["--stats", "--tokenizer", "no/such/folder"], "--tokenizer no/such/folder: "),
    ],
)
def test_an_error_is_one_line(
    demo: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(demo, *arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.strip().splitlines()) == 1


def test_raw_trajectories_must_be_converted_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw.jsonl").write_text('{"messages": []}\n')
    assert command(tmp_path / "raw.jsonl", "--stats") == 1
    assert "raw.jsonl:1: schema_version is None" in capsys.readouterr().err


# --- Real trajectories


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "rows"),
    [("swesmith", 289), ("isobench_trae_sonnet45", 12778), ("sweagent_claude35sonnet_verified", 16309),
     ("openhands_claude35sonnet_verified50", 1059), ("moatless_claude35sonnet_lite271", 2286),
     ("mini_swe_agent", 18975), ("openhands_other", 2432), ("claude_code", 732)],
)  # fmt: skip
def test_every_row_of_the_real_sets_is_sound(
    real_data: Path, tmp_path: Path, name: str, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o.jsonl"
    recipe = "swe_srl_qwen2.5_coder_7b"
    code = command(real_data / "trajectories" / name, "--out", out, "--validate", "--recipe", recipe)
    told = capsys.readouterr().out
    assert f"{rows} training rows" in told
    assert code == 0, told
