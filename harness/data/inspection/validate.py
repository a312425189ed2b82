"""Check that the rows of a store are what training expects, without the code that makes them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.data.tools import Call, calls_of, lists_tools, tools_in, unlisted_calls
from srl_agent import steps
from srl_agent.formats import ActionFormat, FormatError, Message, UnrepresentableActionError
from srl_agent.formats.base import count_characters, describe_tools
from trajectories import Step, Trajectory
from trajectories.schema_check import check_schema
from trajectories.store import Line, StoreError, parse_line, read_lines

EXAMPLES = 5  # positions shown of each kind of violation
_LONG_ENOUGH = 16  # characters of a thought or an observation: a shorter one may recur by chance
_BETWEEN = "\0"  # so that no text spans two messages

# The checks, in the order of the report.
CHECKS = {
    "line": "each line is a trajectory",
    "id": "trajectory ids are unique",
    "record": "task, steps, calls and observations have their types; the task and the names of calls are not empty",
    "acts": "some step has an action",
    "renders": "each target step is rendered, within the recipe's limits",
    "round_trip": "each action is parsed back from its text: parse(render(x)) == x, also after a thought",
    "prompt_end": "the prompt ends with the observation or task that the step responds to",
    "leak": "the prompt contains nothing of the target step beyond the task and earlier steps",
}


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One failed check."""

    check: str
    where: str  # file:line, and the step from 0
    detail: str


@dataclass(kw_only=True)
class Validation:
    """The result for a store."""

    trajectories: int = 0
    steps: int = 0
    actions: int = 0  # steps with an action
    unwritable: int = 0  # of these, not representable in the format: no violation, no target
    rows: int = 0  # target steps
    turns: Counter[tuple[Call, ...]] = field(default_factory=Counter)  # what the target steps call
    violations: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Violation]] = field(default_factory=dict)

    def add(self, violation: Violation) -> None:
        self.violations[violation.check] += 1
        found = self.examples.setdefault(violation.check, [])
        if len(found) < EXAMPLES:
            found.append(violation)


def validate(path: Path, *, settings: steps.StepSettings, action_format: ActionFormat) -> Validation:
    """Check a store in one pass, one trajectory in memory at a time. An unreadable line is a violation, too."""
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
    settings: steps.StepSettings,
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
        yield Violation(check="id", where=where, detail=f"{trajectory.trajectory_id} is also on line {first}")
    found.steps += len(trajectory.steps)
    if not any(step.actions for step in trajectory.steps):
        yield Violation(check="acts", where=where, detail=trajectory.trajectory_id)
    yield from _actions(trajectory, where, found, action_format)
    statuses = steps.target_status(trajectory, settings=settings, action_format=action_format)
    for index, status in enumerate(statuses):
        if status in steps.TARGETS:
            found.rows += 1
            found.turns[calls_of(trajectory.steps[index])] += 1
            yield from _row(trajectory, index, f"{where} step {index}", settings, action_format)


def describe_calls(found: Validation, action_format: ActionFormat, *, compare: bool) -> str:
    """Say which tools the target steps call; ``compare``: and how many call what the format's prompts do not list."""
    called = "; ".join(describe_tools(tools_in(found.turns.items())).splitlines())
    if not compare or not lists_tools(action_format):
        return f"tools called: {called or 'none'}"
    unlisted = unlisted_calls(found.turns.elements(), action_format.tools)
    if not unlisted.wrong:
        return f"tools called, all of them listed by the prompts: {called or 'none'}"
    kinds = ", ".join(f"{call} in {count}" for call, count in unlisted.by_call.most_common())
    share = f"{100 * unlisted.wrong / unlisted.turns:.0f} %"
    return (
        f"warning: {unlisted.wrong} of {unlisted.turns} training rows ({share}) call what their prompt does not list: "
        f"{kinds}; set actions.tools=auto\ntools called: {called}"
    )


def wrong_fields(trajectory: Trajectory) -> list[str]:
    """Return the first field of a wrong type, or all fields that are blank and must not be."""
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
        for written, whole in ((text, False), (f"<think>\nx\n</think>\n\n{text}", True)):
            try:
                read = action_format.parse(written).actions if whole else action_format.parse_actions(written)
            except FormatError as error:
                wrong = f"{error}: {text!r}"
            else:
                wrong = f"{text!r} is parsed as {read!r}" if read != step.actions else ""
            if wrong:
                yield Violation(check="round_trip", where=f"{where} step {index}", detail=wrong[:200])
                break


def _row(
    trajectory: Trajectory, index: int, where: str, settings: steps.StepSettings, action_format: ActionFormat
) -> Iterator[Violation]:
    try:
        example = steps.render_example(trajectory, index, settings=settings, action_format=action_format)
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
    prompt: Sequence[Message], trajectory: Trajectory, index: int, settings: steps.StepSettings
) -> str | None:
    """Return what is wrong with the end of a step's prompt, None if nothing is.

    The last message is the user's and contains what the step responds to: the observation before it, or the task.
    """
    if not prompt or prompt[-1]["role"] != "user":
        return f"the last message is {prompt[-1]['role'] + chr(39) + 's' if prompt else 'missing'}"
    before = trajectory.steps[:index]
    if steps.window_start(before, settings.context_window) < len(before):
        what, text, limit = "observation", before[-1].observation, settings.max_observation_chars
    else:
        what, text, limit = "task", trajectory.task, settings.max_task_chars
    answered = steps.truncate_middle(text, limit)
    return None if answered in prompt[-1]["content"] else f"the {what} before it is not in the last message"


def leaks(example: steps.StepExample, trajectory: Trajectory, action_format: ActionFormat) -> list[str]:
    """Return the parts of the target step that are in its prompt but in nothing before the step."""
    shown = _BETWEEN.join(message["content"] for message in example.prompt)
    target = trajectory.steps[example.step_index]
    texts = (
        ("action", example.expert_action, 1),
        ("thought", target.thought.strip(), _LONG_ENOUGH),
        ("observation", target.observation, _LONG_ENOUGH),
    )
    present = {what: text for what, text, shortest in texts if len(text) >= shortest and text in shown}
    if not present:
        return []
    known = _BETWEEN.join(_known_before(trajectory, example.step_index, action_format))
    return [what for what, text in present.items() if text not in known]


def _known_before(trajectory: Trajectory, index: int, action_format: ActionFormat) -> Iterator[str]:
    """Yield all texts that may be known before a step: the format's instructions, the task, and earlier steps."""
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
