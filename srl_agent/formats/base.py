"""Action formats render training prompts, SFT targets and rollout prompts, and parse completions."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from srl_agent.formats.json_values import check_json
from trajectories import Action, Step

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}
Steps = Sequence[Step]


class FormatError(ValueError):
    """A completion that is not a thought followed by an action; the message says what is wrong."""


class UnrepresentableActionError(ValueError):
    """An action that the syntax cannot express, e.g. an editor call as a fenced shell command."""


class ActionSyntax(Protocol):
    """The notation of actions. ``parse(render(actions)) == actions`` for all actions that ``render`` accepts."""

    @property
    def name(self) -> str: ...

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        """Return the description for the system prompt. ``tools``: argument names by tool name."""

    def render(self, actions: Sequence[Action]) -> str:
        """Write actions. Raises UnrepresentableActionError."""

    def parse(self, text: str) -> tuple[Action, ...]:
        """Read at least one action and nothing else. Raises FormatError."""


_EDITOR = ("command", "path", "file_text", "old_str", "new_str", "insert_line", "view_range")

# Tool sets by name: argument names by tool. A recipe may also define its own.
TOOL_SETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "swe-agent": {"bash": ("command",), "str_replace_editor": _EDITOR, "submit": ()},
    "trae": {"bash": ("command",), "str_replace_based_edit_tool": _EDITOR, "task_done": ()},
    "bash": {"bash": ("command",)},
}

_SYSTEM_PROMPT = """\
You solve a software task in a repository, one step at a time. At each turn:
1. Think between <think> and </think>: what is known, what is needed next. This is private.
2. After </think> write exactly one action and nothing else. Its output comes back to you.

{instructions}"""

_PROMPT_WITHOUT_THINKING = """\
You solve a software task in a repository, one step at a time. At each turn write exactly one action and nothing else. \
Its output comes back to you.

{instructions}"""

_THINK_TAG = re.compile(r"</?think>")
_COMPLETION = re.compile(r"\s*<think>(?P<thought>.*?)</think>(?P<action>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Span:
    """The steps that a prompt shows: from ``start`` up to, not including, ``end``, which is to be written."""

    start: int
    end: int
    title: str = ""  # of step ``end``, if the prompt may show it


@dataclass(frozen=True, kw_only=True)
class ActionFormat:
    """A thinking envelope around a syntax: ``parse(render(step))`` returns the step's stripped thought and actions."""

    syntax: ActionSyntax
    tools: Mapping[str, Sequence[str]]  # argument names by tool name, for the system prompt
    thinks: bool = True  # False: a completion is an action alone, and the prompt asks for no thought

    @property
    def name(self) -> str:
        return self.syntax.name

    def render_prompt(self, task: str, history: Steps, *, omitted: int = 0, title: str = "") -> list[Message]:
        """Return chat messages that end where the next action begins.

        ``history``: the steps that the model may see; ``omitted``: the number of steps before them. Thoughts of earlier
        steps are excluded: the policy learns its own (paper, section 4.1). A step without an action shows its prose,
        which the next message answers. ``title``: of the step to write, if the prompt may show it; only steps of
        solutions have one.
        """
        asked = _SYSTEM_PROMPT if self.thinks else _PROMPT_WITHOUT_THINKING
        system = asked.format(instructions=self.syntax.instructions(self.tools))
        messages = [{"role": "system", "content": system}, {"role": "user", "content": task + _note(omitted)}]
        for step in history:
            said, answer = self._turn(step)
            messages.append({"role": "assistant", "content": said})
            messages.append({"role": "user", "content": answer})
        return messages

    def _turn(self, step: Step) -> tuple[str, str]:
        said = self.render_actions(step.actions) if step.actions else step.thought
        return said, f"OBSERVATION:\n{step.observation}"

    def prompt_lengths(self, task: str, steps: Steps, spans: Iterable[Span]) -> list[int | None]:
        """Return the characters of each span's prompt, None if it cannot be rendered; every step is rendered once."""
        start = count_characters(self.render_prompt(task, ()))
        turns = [self._turn_length(step) for step in steps]
        characters = list(accumulate((turn or 0 for turn in turns), initial=0))
        unwritable = list(accumulate((turn is None for turn in turns), initial=0))
        return [
            None
            if unwritable[span.end] > unwritable[span.start]
            else start + len(_note(span.start)) + characters[span.end] - characters[span.start]
            for span in spans
        ]

    def _turn_length(self, step: Step) -> int | None:
        try:
            return sum(map(len, self._turn(step)))
        except UnrepresentableActionError:
            return None

    def render_actions(self, actions: Sequence[Action]) -> str:
        """Return the text that rewards compare. Raises UnrepresentableActionError."""
        for action in actions:
            try:
                check_json(dict(action.arguments))
            except ValueError as error:
                raise UnrepresentableActionError(f"{self.name}: {action.name}: {error}") from error
        text = self.syntax.render(actions)
        if _THINK_TAG.search(text):
            raise UnrepresentableActionError(f"{self.name}: the action holds a <think> tag")
        return text

    def expert_thought(self, step: Step) -> str | None:
        """Return the thought that a target can hold: the recorded reasoning, or else the visible text.

        None if there is none, or if it holds a tag of the envelope.
        """
        texts = (text.strip() for text in (step.reasoning, step.thought))
        return next((text for text in texts if text and not _THINK_TAG.search(text)), None)

    def render(self, step: Step) -> str:
        """Return the whole completion for a step: thought, then actions. Raises UnrepresentableActionError."""
        if not self.thinks:
            return self.render_actions(step.actions)
        thought = step.thought.strip()
        if not thought or _THINK_TAG.search(thought):
            raise UnrepresentableActionError("the thought is empty or holds a <think> tag")
        return f"<think>\n{thought}\n</think>\n\n{self.render_actions(step.actions)}"

    def split(self, completion: str) -> tuple[str, str]:
        """Split a completion into thought and action text, outer white space stripped; the action is not parsed.

        Raises FormatError unless the completion starts with its only ``<think>…</think>``, which holds a thought, and
        has text after it. Without thinking all of it is the action, and it holds no such tag.
        """
        if not self.thinks:
            return "", self._action_alone(completion)
        match = _COMPLETION.fullmatch(completion)
        if match is None:
            raise FormatError("no <think>…</think> at the start")
        thought, action = match["thought"].strip(), match["action"].strip()
        if _THINK_TAG.search(match["thought"]) or _THINK_TAG.search(action):
            raise FormatError("more than one <think> tag")
        if not thought:
            raise FormatError("empty thought")
        if not action:
            raise FormatError("no action after </think>")
        return thought, action

    def _action_alone(self, completion: str) -> str:
        if _THINK_TAG.search(completion):
            raise FormatError("a <think> tag, and the prompt asks for an action alone")
        if not completion.strip():
            raise FormatError("no action")
        return completion.strip()

    def parse(self, completion: str) -> Step:
        """Read a completion as a step with an empty observation. Raises FormatError."""
        thought, action = self.split(completion)
        return Step(thought=thought, actions=self.parse_actions(action), observation="")

    def parse_actions(self, text: str) -> tuple[Action, ...]:
        """Read the actions of a completion, without its thought. Raises FormatError.

        Arguments that are no strict JSON are refused, whatever the syntax lets through.
        """
        try:
            actions = self.syntax.parse(text)
            for action in actions:
                check_json(dict(action.arguments))
        except RecursionError as error:
            raise FormatError("nested too deeply") from error
        except FormatError:
            raise
        except ValueError as error:
            raise FormatError(str(error)) from error
        return actions


def _note(omitted: int) -> str:
    return f"\n\n[{omitted} earlier steps are not shown]" if omitted else ""


def count_characters(prompt: Iterable[Message]) -> int:
    """Return the number of characters of all messages."""
    return sum(len(message["content"]) for message in prompt)


def without_thinking(text: str) -> str:
    """Return a completion without its thinking: the text from the last ``</think>`` to an unclosed ``<think>``.

    >>> without_thinking("<think>Or ls?</think> pwd"), without_thinking("pwd <think>or")
    (' pwd', 'pwd ')
    """
    return text.rpartition("</think>")[2].partition("<think>")[0]


def thinking(text: str) -> str:
    """Return a completion's thinking, also if the prompt's template opened the tag; outer white space stripped."""
    before = text.rpartition("</think>")[0]
    return (before.partition("<think>")[2] or before).strip()


def prose(text: str) -> str:
    """Return the prose of a completion without an action: all but its thinking, or all if there is nothing else."""
    return without_thinking(text).strip() or text.strip()


def describe_tools(tools: Mapping[str, Sequence[str]]) -> str:
    """Return one line per tool, such as ``bash(command)``."""
    return "\n".join(f"{name}({', '.join(arguments)})" for name, arguments in tools.items())
