"""Policies named by dotted path in evaluation recipes of the tests: they know the demo's reference fixes."""

from harness.demo import load_tasks
from harness.demo.sources import load_sources
from srl_agent.policies.scripted import ScriptedPolicy
from srl_agent.scaffolds.search_replace import render_edits

_SUBMIT = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def _commands(patch: str) -> list[str]:
    """The fix as mini-swe-agent wants it: one command a turn."""
    commands = ["ls", f"git apply <<'EOF'\n{patch}EOF", "git diff > patch.txt", f"{_SUBMIT} && cat patch.txt"]
    return [f"THOUGHT: go on\n\n```mswea_bash_command\n{command}\n```" for command in commands]


def reference_fix(*, scaffold: str) -> ScriptedPolicy:
    """Answers of each task by its issue, in the form that ``scaffold`` asks for."""
    patches = {task.instance_id: task.patch for task in load_tasks()}
    answers = {}
    for source in load_sources():
        edits = f"<think>\nI see.\n</think>\n\n{render_edits(source.buggy(), source.correct())}"
        answers[source.issue] = {
            "oracle-edit": [edits],
            "agentless-mini": [source.bug[0].path, edits],
            "mini-swe-agent": _commands(patches[source.instance_id]),
            "one-script": [f"Apply it.\n```bash\ngit apply <<'EOF'\n{patches[source.instance_id]}EOF\n```"],
        }[scaffold]
    return ScriptedPolicy.in_turn(answers, name="reference fix")


def cheat() -> ScriptedPolicy:
    """Looks for the future of the repository, then gives up."""
    look = "<function=bash>\n<parameter=command>git log --all --oneline</parameter>\n</function>"
    done = "<function=submit>\n</function>"
    turns = [f"<think>\nWhere is it?\n</think>\n\n{call}" for call in (look, done)]
    return ScriptedPolicy.in_turn({source.issue: turns for source in load_sources()}, name="cheat")


def silent() -> ScriptedPolicy:
    """Has no answer to anything."""
    return ScriptedPolicy.in_turn({}, name="silent")
