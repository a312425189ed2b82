"""Repair in one answer: whole files in, SEARCH/REPLACE edits out. Shared by oracle-edit and agentless-mini."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from srl_agent.formats import Message, prose, thinking
from srl_agent.scaffolds.base import Environment, ScaffoldTask
from srl_agent.scaffolds.search_replace import FORM, Applied, ParsedAnswer, apply_edits, parse_edits
from trajectories import Action, Step

_PROMPT = """\
Resolve the following issue in the repository {repo} by editing its source code.

Issue:
[start of the issue]
{issue}
[end of the issue]

{files}

First think privately between <think> and </think> about the cause and the change that it needs. After </think> \
write the change as edits of this form and nothing else:

{form}

- Write the file's path as it is given above. Several edits are fine, also of other files.
- Copy the SEARCH lines exactly, including whitespace, and include enough lines to match a unique location. The lines \
before REPLACE replace them.
- To create a file, leave the SEARCH lines empty."""


@dataclass(frozen=True, kw_only=True)
class ShownFiles:
    """The files of a prompt, and those that are not in it."""

    text: str
    paths: tuple[str, ...]
    left_out: tuple[str, ...]  # over the budget
    unreadable: tuple[str, ...]  # missing, or not text


def show_files(paths: Sequence[str], read: Callable[[str], str | None], max_chars: int) -> ShownFiles:
    """Return whole files in order: the first, and those within the rest of the budget; the text names the others."""
    blocks: list[str] = []
    shown: list[str] = []
    left_out: list[str] = []
    unreadable: list[str] = []
    budget = max_chars
    for path in paths:
        whole = read(path)
        if whole is None:
            unreadable.append(path)
        elif blocks and len(whole) > budget:
            left_out.append(path)
        else:
            text = whole.replace("\r\n", "\n")
            end = "" if text.endswith("\n") else "\n"
            blocks.append(f"[start of {path}]\n{text}{end}[end of {path}]")
            shown.append(path)
            budget -= len(text)
    if left_out:
        blocks.append(f"[not shown for lack of space: {', '.join(left_out)}]")
    text = "\n\n".join(blocks)
    return ShownFiles(text=text, paths=tuple(shown), left_out=tuple(left_out), unreadable=tuple(unreadable))


def repair_prompt(task: ScaffoldTask, shown: ShownFiles) -> list[Message]:
    """Return the chat messages that ask for edits of the shown files."""
    text = _PROMPT.format(repo=task.repo, issue=task.problem_statement, files=shown.text, form=FORM)
    return [{"role": "user", "content": text}]


@dataclass(frozen=True, kw_only=True)
class Repair:
    """An answer and the result of its edits; nothing is written yet."""

    answer: str
    parsed: ParsedAnswer
    applied: Applied


def read_repair(answer: str, environment: Environment) -> Repair:
    """Parse an answer and apply its edits to the environment's files, in memory."""
    parsed = parse_edits(answer)
    return Repair(answer=answer, parsed=parsed, applied=apply_edits(parsed.edits, environment.read))


def write_repair(repair: Repair, environment: Environment) -> Step:
    """Write the changed files; the observation of the step reports on every edit."""
    refused: dict[str, str] = {}
    for path, text in repair.applied.files.items():
        try:
            environment.write(path, text)
        except TimeoutError:
            raise
        except OSError as error:  # e.g. a parent of the path is a file
            refused[path] = f"it cannot be written: {error}"
    edits = [vars(edit) for edit in repair.parsed.edits]
    thought = thinking(repair.answer) if edits else prose(repair.answer)
    actions = tuple(Action(name="search_replace", arguments=dict(edit)) for edit in edits)
    return Step(thought=thought, actions=actions, observation=explain(repair, refused))


def explain(repair: Repair, refused: Mapping[str, str]) -> str:
    """Report on an answer, one line per edit; ``refused``: why files could not be written, by path."""
    lines = [
        str(replace(outcome, refused=outcome.refused or refused.get(outcome.path or "")))
        for outcome in repair.applied.outcomes
    ]
    lines += repair.parsed.problems
    if repair.applied.rejected:
        lines.append(f"nothing was kept: {repair.applied.rejected}")
    return "\n".join(lines) or "The answer has no SEARCH/REPLACE edit."
