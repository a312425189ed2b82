"""Steps of a written solution as actions, and the prompts of the math domain: step by step, or all at once."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from srl_agent.formats.base import (
    ActionFormat,
    FormatError,
    Message,
    Span,
    Steps,
    UnrepresentableActionError,
    count_characters,
)
from trajectories import Action, Step
from trajectories.solutions import STEP, SolutionStep, join_steps, read_step, step_action, write_step

_STEP_PROMPT = """\
Solve the problem one step at a time. First think privately between <think> and </think>. After </think> write only \
the next step, not the whole solution. {instructions} The last step gives the answer in \\boxed{{}}."""

_STEP_PROMPT_WITHOUT_THINKING = """\
Solve the problem one step at a time. Write only the next step, not the whole solution. {instructions} The last step \
gives the answer in \\boxed{{}}."""

_SOLUTION_PROMPT = """\
Solve the problem. You may think privately between <think> and </think> first. Then write the whole solution in \
numbered steps, each with a short title between ** and **. The last step gives the answer in \\boxed{}."""

_NUMBER = re.compile(r"\A\d+[.)]\s+")


class MathStepSyntax:
    """``**Title** text``; the title is optional, and a leading number, which some models write, is ignored."""

    name = "math-step"

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        return "A step is a short title between ** and **, then its content."

    def render(self, actions: Sequence[Action]) -> str:
        if len(actions) != 1:
            raise UnrepresentableActionError(f"math-step: {len(actions)} actions in a turn, it holds one")
        text = write_step(solution_step(actions[0]))
        step = read_step(text)
        if not step.text or _NUMBER.match(text) or step_action(step) != actions[0]:
            raise UnrepresentableActionError("math-step: the step cannot be read back as it is")
        return text

    def parse(self, text: str) -> tuple[Action, ...]:
        step = read_step(_NUMBER.sub("", text.strip(), count=1))
        if not step.text:
            raise FormatError("a step needs a text")
        return (step_action(step),)


@dataclass(frozen=True, kw_only=True)
class MathStepFormat(ActionFormat):
    """The thinking envelope around a step; the solution so far is in the user message (paper, section 3)."""

    def render_prompt(self, task: str, history: Steps, *, omitted: int = 0, title: str = "") -> list[Message]:
        asked = _STEP_PROMPT if self.thinks else _STEP_PROMPT_WITHOUT_THINKING
        system = asked.format(instructions=self.syntax.instructions(self.tools))
        done = [solution_step(action) for step in history for action in step.actions]
        parts = [f"Problem:\n{task}"]
        if omitted:
            parts.append(f"[{omitted} earlier steps are not shown]")
        so_far = f"Steps so far:\n{join_steps(done, first=omitted + 1)}"
        parts.append(so_far if done else "No steps yet.")
        number = omitted + len(done) + 1
        named = f" Its title is **{title}**. Write its content." if title else ""
        parts.append(f"Write step {number}.{named}")
        return [{"role": "system", "content": system}, {"role": "user", "content": "\n\n".join(parts)}]

    def prompt_lengths(self, task: str, steps: Steps, spans: Iterable[Span]) -> list[int | None]:
        """Render every prompt: solutions are short, and the numbers of their steps are part of the text."""
        return [self._prompt_length(task, steps, span) for span in spans]

    def _prompt_length(self, task: str, steps: Steps, span: Span) -> int | None:
        shown = steps[span.start : span.end]
        try:
            return count_characters(self.render_prompt(task, shown, omitted=span.start, title=span.title))
        except UnrepresentableActionError:
            return None


def solution_prompt(problem: str) -> list[Message]:
    """Return chat messages that ask for a whole solution."""
    asked = {"role": "user", "content": f"Problem:\n{problem}"}
    return [{"role": "system", "content": _SOLUTION_PROMPT}, asked]


def solution_text(steps: Steps) -> str:
    """Return the whole solution in the form of :func:`solution_prompt`. Raises UnrepresentableActionError."""
    return join_steps([solution_step(action) for step in steps for action in step.actions])


def solution_step(action: Action) -> SolutionStep:
    """Read an action as a step. Raises UnrepresentableActionError if it is no step of a solution."""
    title, text = action.arguments.get("title", ""), action.arguments.get("text")
    if action.name != STEP or not isinstance(title, str) or not isinstance(text, str):
        raise UnrepresentableActionError(f"math-step: {action.name} is no step of a solution")
    return SolutionStep(title=title, text=text)


def title_of(step: Step) -> str:
    """Return the title of a step, empty if it has none."""
    return str(step.actions[0].arguments.get("title", "")) if step.actions else ""


def without_title(step: Step) -> Step:
    """Return the step as the target of a prompt that shows its title."""
    actions = tuple(
        Action(name=action.name, arguments={k: v for k, v in action.arguments.items() if k != "title"})
        for action in step.actions
    )
    return replace(step, actions=actions)
