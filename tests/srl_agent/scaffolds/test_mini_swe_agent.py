"""mini-swe-agent itself as a scaffold: its agent and prompts, our policy and environment."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.demo import load_tasks
from harness.demo.sources import load_sources
from srl_agent.plugins import PluginError
from srl_agent.policies import ContextOverflowError, PolicyError
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds import Rollout, ScaffoldTask, load_scaffold
from tests.local_environment import LocalEnvironment, demo_task, resolves
from tests.scripted_answers import answers_in_turn
from trajectories.ledger import Ledger
from trajectories.readers.pipeline import read_trajectories_of

pytest.importorskip("minisweagent", reason="the extra mini-swe-agent is not installed")

TASK = ScaffoldTask(instance_id="acme__widgets-1", repo="acme/widgets", problem_statement="Fix it.")
FILES = {"a.py": "x = 1\n"}
SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def command(text: str) -> str:
    thinking = "<think>Not a command: ```mswea_bash_command\nrm a.py\n```</think>"
    return f"{thinking}THOUGHT: go on\n\n```mswea_bash_command\n{text}\n```"


def attempt(
    *answers: str, agent: Mapping[str, Any] | None = None, files: Mapping[str, str] = FILES
) -> Rollout:
    scaffold = load_scaffold("mini-swe-agent", {"agent": agent or {}})
    with LocalEnvironment(files) as environment:
        return scaffold.run(TASK, answers_in_turn({"Fix it.": answers}), environment)


def test_it_solves_a_demo_task_and_its_own_file_reads_as_the_same_steps(tmp_path: Path) -> None:
    pairs = zip(load_sources(), load_tasks(), strict=True)
    source, task = next((s, t) for s, t in pairs if t.instance_id == "demo__calc-1")
    answers = [
        command("cat calc/parser.py"),
        command(f"git apply <<'EOF'\n{task.patch}EOF"),
        command("git diff -- calc/parser.py > patch.txt"),
        command(f"{SUBMIT} && cat patch.txt"),
    ]
    saved = tmp_path / "run.traj.json"
    scaffold = load_scaffold("mini-swe-agent", {"agent": {"output_path": saved}})
    with LocalEnvironment(source.buggy()) as environment:
        rollout = scaffold.run(demo_task(source), answers_in_turn({source.statement: answers}), environment)
    assert (rollout.status, rollout.error) == ("submitted", None)
    assert rollout.trajectory.patch == task.patch  # what it printed: patch.txt itself is not in it
    assert resolves(source, rollout.trajectory.patch)
    ((read, _),) = read_trajectories_of([saved], Ledger())
    assert rollout.trajectory.steps == read.steps
    assert rollout.trajectory.task == read.task == source.statement
    assert [step.actions[0].name for step in read.steps] == ["bash"] * 4
    assert "def sum(self)" in read.steps[0].observation
    assert rollout.trajectory.metadata["mini_version"].startswith("2.")
    assert len(rollout.completions) == 4


def test_work_that_was_not_submitted_is_judged_all_the_same() -> None:
    rollout = attempt(command("sed -i s/1/2/ a.py"), command("ls"), agent={"step_limit": 1})
    assert rollout.status == "step_limit"
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_submitting_without_printing_a_patch() -> None:
    rollout = attempt(command("sed -i s/1/2/ a.py"), command(SUBMIT))
    assert rollout.status == "submitted"
    assert "+x = 2" in (rollout.trajectory.patch or "")


def test_malformed_answers_in_a_row_end_it() -> None:
    two = command("ls") + "\n```mswea_bash_command\nls\n```"
    rollout = attempt("no command", two, "none", agent={"max_consecutive_format_errors": 3})
    assert (rollout.status, rollout.error) == ("step_limit", "3 answers in a row had no action")
    assert len(rollout.completions) == 3
    steps = rollout.trajectory.steps
    assert [step.actions for step in steps] == [(), (), ()]
    assert [step.thought for step in steps] == ["no command", two.rpartition("</think>")[2], "none"]
    assert steps[1].reasoning == "Not a command: ```mswea_bash_command\nrm a.py\n```"
    assert all("EXACTLY ONE" in step.observation for step in steps)


def test_a_refused_answer_is_a_step_of_the_rollout_with_its_complaint() -> None:
    rollout = attempt("Hm.", command("echo one"), "", command(SUBMIT))
    steps = rollout.trajectory.steps
    assert [step.thought for step in steps] == ["Hm.", "THOUGHT: go on", "THOUGHT: go on"]
    assert [len(step.actions) for step in steps] == [0, 1, 1]
    assert "EXACTLY ONE" in steps[0].observation
    assert "EXACTLY ONE" not in steps[1].observation
    assert rollout.trajectory.metadata["empty_answers"] == 1
    assert len(rollout.completions) == 4


def test_the_variables_and_the_time_limit_of_its_configuration_hold() -> None:
    rollout = attempt(command("echo $PAGER"), command(SUBMIT))
    assert "<output>\ncat\n</output>" in rollout.trajectory.steps[0].observation
    scaffold: Any = load_scaffold("mini-swe-agent", {})
    scaffold.environment["timeout"] = 0.3
    with LocalEnvironment(FILES) as environment:
        answers = [command("echo begun; sleep 30"), command(SUBMIT)]
        rollout = scaffold.run(TASK, answers_in_turn({"Fix it.": answers}), environment)
    assert "stopped at a limit</exception>\n<returncode>-1</returncode>\n<output>\nbegun" in (
        rollout.trajectory.steps[0].observation
    )


def test_what_breaks_the_policy_or_the_sandbox() -> None:
    def overflow(prompt: object) -> str:
        raise ContextOverflowError("too long")

    with LocalEnvironment(FILES) as environment:
        rollout = load_scaffold("mini-swe-agent", {}).run(TASK, ScriptedPolicy(overflow), environment)
    assert (rollout.status, rollout.error) == ("token_limit", "too long")
    with LocalEnvironment(FILES, calls=0) as environment:
        policy = answers_in_turn({"Fix it.": [command("ls")]})
        rollout = load_scaffold("mini-swe-agent", {}).run(TASK, policy, environment)
    assert (rollout.status, rollout.error) == ("time_limit", "the sandbox's time is over")
    with pytest.raises(PolicyError, match="ends after 1 answers"):
        attempt(command("ls"))


def test_settings_of_its_agent_are_checked() -> None:
    with pytest.raises(PluginError, match=r"agent has no setting step_limits: it takes .*step_limit"):
        load_scaffold("mini-swe-agent", {"agent": {"step_limits": 3}})
