"""Whether the rows of a store are what training takes them for: told from the rows, not by the code that makes them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from srl_agent.formats import ActionFormat, FormatError, Message, UnrepresentableActionError
from srl_agent.formats.base import count_characters
from srl_agent.steps import (
    TARGET,
    StepExample,
    StepSettings,
    render_example,
    target_status,
    truncate_middle,
    window_start,
)
from trajectories import Step, Trajectory
from trajectories.schema_check import check_schema
from trajectories.store import Line, StoreError, parse_line, read_lines

EXAMPLES = 5  # positions shown of each kind of violation
_LONG_ENOUGH = 16  # characters of a thought or an observation: a shorter one may stand anywhere by chance
_BETWEEN = "\0"  # texts that follow each other are not one text

# What is checked, in the order of the report.
CHECKS = {
    "line": "each line is a trajectory",
    "id": "no trajectory id is there twice",
    "record": "task, steps, calls and observations have their types; the task and the names of calls are not empty",
    "acts": "some step has an action",
    "renders": "each target step is rendered, within the recipe's limits",
    "round_trip": "each action is read back from its text: parse(render(x)) == x, with a thought in front of it, too",
    "prompt_end": "the prompt ends where the action begins: with what the step answers",
    "leak": "nothing of the target step is in its prompt but what the task and earlier steps said",
}


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One broken promise."""

    check: str
    where: str  # file:line, and the step from 0
    detail: str


@dataclass(kw_only=True)
class Validation:
    """The account of a store."""

    trajectories: int = 0
    steps: int = 0
    actions: int = 0  # steps with an action
    unwritable: int = 0  # of these, what the format has no way to write: no violation, no target
    rows: int = 0  # target steps
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Violation]] = field(default_factory=dict)

    def add(self, violation: Violation) -> None:
        self.violations[violation.check] += 1
        found = self.examples.setdefault(violation.check, [])
        if len(found) < EXAMPLES:
            found.append(violation)


def validate(path: Path, *, settings: StepSettings, action_format: ActionFormat) -> Validation:
    """One pass, one trajectory in memory at a time. A line that cannot be read is a violation as any other."""
    found = Validation()
    seen: dict[str, int] = {}
    for line in read_lines(path):
        if not line.text.strip():
            continue
        for violation in _line(path, line, seen, found, settings, action_format):
            found.add(violation)
    return found


def _line(
    path: Path,
    line: Line,
    seen: dict[str, int],
    found: Validation,
    settings: StepSettings,
    action_format: ActionFormat,
) -> Iterator[Violation]:
    where = f"{path}:{line.number}"
    try:
        trajectory = parse_line(path, line)
    except StoreError as error:
        yield Violation(check="line", where=where, detail=str(error).removeprefix(f"{where}: "))
        return
    found.trajectories += 1
    if wrong := wrong_fields(trajectory):
        for detail in wrong:
            yield Violation(check="record", where=where, detail=detail)
        return
    first = seen.setdefault(trajectory.trajectory_id, line.number)
    if first != line.number:
        yield Violation(check="id", where=where, detail=f"{trajectory.trajectory_id} is that of line {first}")
    found.steps += len(trajectory.steps)
    if not any(step.actions for step in trajectory.steps):
        yield Violation(check="acts", where=where, detail=trajectory.trajectory_id)
    yield from _actions(trajectory, where, found, action_format)
    statuses = target_status(trajectory, settings=settings, action_format=action_format)
    for index, status in enumerate(statuses):
        if status == TARGET:
            found.rows += 1
            yield from _row(trajectory, index, f"{where} step {index}", settings, action_format)


def wrong_fields(trajectory: Trajectory) -> list[str]:
    """What of a record is not of its type (the first one), or blank where it may not be."""
    try:
        check_schema(trajectory)
    except (TypeError, ValueError) as error:
        return [str(error)]
    blank = [
        f"{name} is {value!r}"[:100]
        for name in ("trajectory_id", "instance_id", "task")
        if not (value := getattr(trajectory, name)).strip()
    ]
    return blank + [
        f"step {index}: the name of a call is {action.name!r}"[:100]
        for index, step in enumerate(trajectory.steps)
        for action in step.actions
        if not action.name.strip()
    ]


def _actions(
    trajectory: Trajectory, where: str, found: Validation, action_format: ActionFormat
) -> Iterator[Violation]:
    for index, step in enumerate(trajectory.steps):
        if not step.actions:
            continue
        found.actions += 1
        try:
            text = action_format.render_actions(step.actions)
        except UnrepresentableActionError:
            found.unwritable += 1
            continue
        for said, whole in ((text, False), (f"<think>\nx\n</think>\n\n{text}", True)):
            try:
                read = action_format.parse(said).actions if whole else action_format.syntax.parse(said)
            except FormatError as error:
                yield Violation(
                    check="round_trip", where=f"{where} step {index}", detail=f"{error}: {text!r}"[:200]
                )
                break
            if read != step.actions:
                detail = f"{text!r} is read as {read!r}"[:200]
                yield Violation(check="round_trip", where=f"{where} step {index}", detail=detail)
                break


def _row(
    trajectory: Trajectory, index: int, where: str, settings: StepSettings, action_format: ActionFormat
) -> Iterator[Violation]:
    try:
        example = render_example(trajectory, index, settings=settings, action_format=action_format)
    except UnrepresentableActionError as error:
        yield Violation(check="renders", where=where, detail=str(error))
        return
    for limit, length, name in (
        (settings.max_prompt_chars, count_characters(example.prompt), "max_prompt_chars"),
        (settings.max_action_chars, len(example.expert_action), "max_action_chars"),
    ):
        if limit is not None and length > limit:
            yield Violation(check="renders", where=where, detail=f"{length} characters, {name} is {limit}")
    if problem := wrong_end(example.prompt, trajectory, index, settings):
        yield Violation(check="prompt_end", where=where, detail=problem)
    for what in leaks(example, trajectory, action_format):
        yield Violation(check="leak", where=where, detail=f"its {what} is in the prompt")


def wrong_end(
    prompt: Sequence[Message], trajectory: Trajectory, index: int, settings: StepSettings
) -> str | None:
    """Why the prompt of a step does not end where its action begins, None if it does.

    The last word is the user's, and holds what the step answers: the observation before it, or the task.
    """
    if not prompt or prompt[-1]["role"] != "user":
        return f"the last message is {prompt[-1]['role'] + chr(39) + 's' if prompt else 'missing'}"
    before = trajectory.steps[:index]
    if window_start(before, settings.context_window) < len(before):
        answered, what = (
            truncate_middle(before[-1].observation, settings.max_observation_chars),
            "observation",
        )
    else:
        answered, what = truncate_middle(trajectory.task, settings.max_task_chars), "task"
    return None if answered in prompt[-1]["content"] else f"the {what} before it is not in the last message"


def leaks(example: StepExample, trajectory: Trajectory, action_format: ActionFormat) -> list[str]:
    """What of the target step stands in its prompt, and in nothing that came before it."""
    shown = _BETWEEN.join(message["content"] for message in example.prompt)
    target = trajectory.steps[example.step_index]
    texts = {
        "action": example.expert_action,
        "thought": target.thought.strip(),
        "observation": target.observation,
    }
    there = {
        what: text
        for what, text in texts.items()
        if len(text) >= (1 if what == "action" else _LONG_ENOUGH) and text in shown
    }
    if not there:
        return []
    said = _BETWEEN.join(_said(trajectory, example.step_index, action_format))
    return [what for what, text in there.items() if text not in said]


def _said(trajectory: Trajectory, index: int, action_format: ActionFormat) -> Iterator[str]:
    """All that may be known before a step: the format's own words, the task, and every step before it."""
    yield from (message["content"] for message in action_format.render_prompt("", ()))
    yield trajectory.task
    for step in trajectory.steps[:index]:
        yield _acted(step, action_format)
        yield step.observation


def _acted(step: Step, action_format: ActionFormat) -> str:
    if not step.actions:
        return step.thought
    try:
        return action_format.render_actions(step.actions)
    except UnrepresentableActionError:
        return ""
