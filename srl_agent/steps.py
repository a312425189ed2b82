"""Expert trajectories -> training steps.

From a trajectory of N steps the paper makes N−1 instances (arXiv 2510.25992, section 3): the task and the first k−1
steps are the prompt, step k is the target; the last step is never a target. Steps without an action (prose, or a call
that the scaffold refused) are context only and do not count. Steps marked as context (``Step.target``) are no targets
either, but count: their actions were executed. A step is stored as (trajectory, index) and rendered on demand, so that
storage grows with the trajectories and not with their prefixes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from srl_agent.formats import ActionFormat, Message, Span, UnrepresentableActionError
from srl_agent.formats.math_step import title_of, without_title
from srl_agent.step_kinds import step_kind
from trajectories import Step, Trajectory

Thoughts = Literal["expert", "filler", "none"]  # what a target holds before its action


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """Limits of a prompt, the same for training steps and for rollouts."""

    context_window: int | None = 2  # (action, observation) pairs shown; None: all ("full")
    max_task_chars: int | None = None  # longer ones keep head and tail
    max_observation_chars: int | None = None  # longer ones keep head and tail

    def __post_init__(self) -> None:
        if self.context_window is not None and self.context_window < 0:
            raise ValueError(f"context_window must be None or at least 0, not {self.context_window}")


@dataclass(frozen=True, kw_only=True)
class StepSettings(PromptSettings):
    """Settings for prompts and targets."""

    include_last_step: bool = False  # the paper: never a target
    show_title: bool = False  # put the title of a solution's step into the prompt; the target is the rest
    max_action_chars: int | None = None  # steps with longer expert actions are no targets
    max_prompt_chars: int | None = None  # steps with longer prompts are no targets
    thoughts: Thoughts = (
        "expert"  # of targets: the expert's, or the filler where there is none; always the filler; none
    )
    filler: str = "I take the next step."


@dataclass(frozen=True, kw_only=True, order=True, slots=True)
class StepRef:
    """A target step, by the position of its trajectory in the data and its index in the trajectory."""

    trajectory: int
    step: int


Selected = tuple[list[StepRef], Counter[str]]  # target steps; skipped steps by reason


@dataclass(frozen=True, kw_only=True)
class StepExample:
    """One rendered row."""

    trajectory_id: str
    step_index: int
    kind: str
    prompt: list[Message]
    expert: Step
    expert_action: str  # the text that the reward compares with


def truncate_middle(text: str, limit: int | None) -> str:
    """Cut the middle out of a text longer than ``limit`` characters, and mark the cut.

    The mark is not counted in the limit.

    >>> truncate_middle("0123456789", 4)
    '01\\n[6 characters left out]\\n89'
    """
    if limit is None or len(text) <= limit:
        return text
    head = (limit + 1) // 2
    tail = limit - head
    return f"{text[:head]}\n[{len(text) - limit} characters left out]\n{text[len(text) - tail :]}"


def _acting_steps(steps: Sequence[Step]) -> list[int]:
    return [index for index, step in enumerate(steps) if step.actions]


def window_start(before: Sequence[Step], window: int | None) -> int:
    """Return the index of the first step shown after ``before``; of the shown ones, ``window`` have an action."""
    acting = _acting_steps(before)
    return _first_shown(acting, len(acting), len(before), window)


def _first_shown(acting: Sequence[int], before: int, end: int, window: int | None) -> int:
    """Return :func:`window_start` of step ``end``, which the first ``before`` of the ``acting`` steps precede."""
    if window == 0:
        return end
    return 0 if window is None or window >= before else acting[before - window]


def render_next(
    task: str, past: Sequence[Step], *, settings: PromptSettings, action_format: ActionFormat, title: str = ""
) -> list[Message]:
    """Render the prompt for the action after the steps ``past``; ``title``: of its step, if the prompt may show it."""
    start = window_start(past, settings.context_window)
    shown_task, history = _as_shown(task, past[start:], settings)
    return action_format.render_prompt(shown_task, history, omitted=start, title=title)


def _as_shown(task: str, steps: Sequence[Step], settings: PromptSettings) -> tuple[str, list[Step]]:
    """Truncate the task and the observations to the limits of the settings."""
    history = []
    for step in steps:
        observation = truncate_middle(step.observation, settings.max_observation_chars)
        history.append(step if observation == step.observation else replace(step, observation=observation))
    return truncate_middle(task, settings.max_task_chars), history


def render_example(
    trajectory: Trajectory, index: int, *, settings: StepSettings, action_format: ActionFormat
) -> StepExample:
    """Render step ``index`` of a trajectory. Raises UnrepresentableActionError."""
    expert = trajectory.steps[index]
    title = _title(expert, settings)
    if title:
        expert = without_title(expert)
    past = trajectory.steps[:index]
    return StepExample(
        trajectory_id=trajectory.trajectory_id,
        step_index=index,
        kind=step_kind(expert),
        prompt=render_next(
            trajectory.task, past, settings=settings, action_format=action_format, title=title
        ),
        expert=expert,
        expert_action=action_format.render_actions(expert.actions),
    )


def _title(step: Step, settings: StepSettings) -> str:
    """Return the title that the prompt shows of the step to write."""
    return title_of(step) if settings.show_title else ""


# Status of a step as a target. A letter each, so that those of a trajectory are one short string.
TARGET = "t"
TARGET_WITHOUT_THOUGHT = (
    "f"  # its thought is missing, or the format cannot write it: the filler stands for it
)
TARGETS = (TARGET, TARGET_WITHOUT_THOUGHT)
_LAST = "l"  # has an action and is never a target
_NO_ACTION = "n"
_CONTEXT_ONLY = "c"
_UNREPRESENTABLE = "u"
_LONG_ACTION = "a"
_LONG_PROMPT = "p"
# Targets, and steps that other settings would make targets.
ACTS = (*TARGETS, _LAST, _LONG_ACTION, _LONG_PROMPT)
_REASONS = {
    _CONTEXT_ONLY: "context only (a filter of harness.convert)",
    _UNREPRESENTABLE: "not representable as {format}",
    _LONG_ACTION: "expert action over max_action_chars",
    _LONG_PROMPT: "prompt over max_prompt_chars",
}


def target_status(trajectory: Trajectory, *, settings: StepSettings, action_format: ActionFormat) -> str:
    """Return the status of each step as a target, a letter per step: as rendering every prompt would give it."""
    steps = trajectory.steps
    acting = _acting_steps(steps)
    status = [_LAST if step.actions else _NO_ACTION for step in steps]
    candidates = acting if settings.include_last_step else acting[:-1]
    for index in candidates:
        status[index] = _CONTEXT_ONLY
    spans = []
    for before, index in enumerate(candidates):
        if steps[index].target:
            start = _first_shown(acting, before, index, settings.context_window)
            spans.append(Span(start=start, end=index, title=_title(steps[index], settings)))
    task, shown = _as_shown(trajectory.task, steps, settings)
    lengths = action_format.prompt_lengths(task, shown, spans)
    for span, length in zip(spans, lengths, strict=True):
        status[span.end] = _candidate_status(steps[span.end], span.title, length, settings, action_format)
    return "".join(status)


def _candidate_status(
    step: Step, title: str, prompt_chars: int | None, settings: StepSettings, action_format: ActionFormat
) -> str:
    try:
        action = action_format.render_actions((without_title(step) if title else step).actions)
    except UnrepresentableActionError:
        return _UNREPRESENTABLE
    if prompt_chars is None:
        return _UNREPRESENTABLE
    if settings.max_action_chars is not None and len(action) > settings.max_action_chars:
        return _LONG_ACTION
    if settings.max_prompt_chars is not None and prompt_chars > settings.max_prompt_chars:
        return _LONG_PROMPT
    return TARGET if action_format.expert_thought(step) else TARGET_WITHOUT_THOUGHT


def select_targets(statuses: Iterable[tuple[int, str]], *, format_name: str) -> Selected:
    """Return the target steps, and how many steps were skipped for which reason.

    ``statuses``: position of each trajectory in the data, and the :func:`target_status` of its steps.

    >>> refs, skipped = select_targets([(0, "tal"), (7, "ntl")], format_name="xml")
    >>> [(ref.trajectory, ref.step) for ref in refs], dict(skipped)
    ([(0, 0), (7, 1)], {'expert action over max_action_chars': 1, 'no action': 1})
    """
    refs: list[StepRef] = []
    skipped: Counter[str] = Counter()
    for position, letters in statuses:
        if without_action := letters.count(_NO_ACTION):
            skipped["no action"] += without_action
        for index, letter in enumerate(letters):
            if letter in TARGETS:
                refs.append(StepRef(trajectory=position, step=index))
            elif letter in _REASONS:
                skipped[_REASONS[letter].format(format=format_name)] += 1
    return refs, skipped


def select_steps(
    trajectories: Iterable[Trajectory], *, settings: StepSettings, action_format: ActionFormat
) -> Selected:
    """Return all target steps, and how many steps were skipped for which reason."""
    statuses = (target_status(t, settings=settings, action_format=action_format) for t in trajectories)
    return select_targets(enumerate(statuses), format_name=action_format.name)
