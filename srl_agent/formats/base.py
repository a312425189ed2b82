"""The one object that makes training prompts, SFT targets and rollout prompts, and reads completions back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from trajectories import Action, Step

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


class FormatError(ValueError):
    """A completion that is not a thought followed by an action; the message says what is wrong with it."""


class UnrepresentableActionError(ValueError):
    """An action that the syntax has no way to write, e.g. an editor call as a fenced shell command."""


class ActionSyntax(Protocol):
    """How actions are written. ``parse(render(actions)) == actions`` for all that ``render`` accepts."""

    @property
    def name(self) -> str: ...

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        """What the system prompt says of the syntax. ``tools``: argument names by tool name."""

    def render(self, actions: Sequence[Action]) -> str:
        """Raises UnrepresentableActionError."""

    def parse(self, text: str) -> tuple[Action, ...]:
        """At least one action and nothing beside the actions; raises FormatError otherwise."""


_EDITOR = ("command", "path", "file_text", "old_str", "new_str", "insert_line", "view_range")

# Tool sets by name: argument names by tool. A recipe may also give its own mapping.
TOOL_SETS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "swe-agent": {"bash": ("command",), "str_replace_editor": _EDITOR, "submit": ()},
    "trae": {"bash": ("command",), "str_replace_based_edit_tool": _EDITOR, "task_done": ()},
    "bash": {"bash": ("command",)},
}

_SYSTEM_PROMPT = """\
You solve a software task in a repository, one step at a time. At each turn:
1. Think privately between <think> and </think>: what is known, what is needed next. Nobody reads it.
2. After </think> write the single next action and nothing else. Its output comes back to you.

{instructions}"""

_THINK_TAG = re.compile(r"</?think>")
_COMPLETION = re.compile(r"\s*<think>(?P<thought>.*?)</think>(?P<action>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Span:
    """What a prompt shows of a trajectory: its steps from ``start`` to the one before ``end``, which comes next."""

    start: int
    end: int
    title: str = ""  # of the next step, where the prompt may say it


@dataclass(frozen=True, kw_only=True)
class ActionFormat:
    """A thinking envelope around an action syntax.

    ``parse(render(step))`` gives the step's thought (outer white space stripped) and its actions back.
    """

    syntax: ActionSyntax
    tools: Mapping[str, Sequence[str]]  # argument names by tool name, for the system prompt

    @property
    def name(self) -> str:
        return self.syntax.name

    def render_prompt(
        self, task: str, history: Sequence[Step], *, omitted: int = 0, title: str = ""
    ) -> list[Message]:
        """Chat messages that end where the next action begins.

        ``history`` is what the model may see of the steps so far, ``omitted`` the number of steps before it.
        Thoughts of earlier steps are left out: the policy learns its own (paper, section 4.1). A step without
        an action shows its prose: that is all it did, and what follows answers it. ``title``: what the next step is
        called, where that may be known; only steps of solutions have one.
        """
        system = _SYSTEM_PROMPT.format(instructions=self.syntax.instructions(self.tools))
        messages = [{"role": "system", "content": system}, {"role": "user", "content": task + _note(omitted)}]
        for step in history:
            said, answer = self._turn(step)
            messages.append({"role": "assistant", "content": said})
            messages.append({"role": "user", "content": answer})
        return messages

    def _turn(self, step: Step) -> tuple[str, str]:
        said = self.render_actions(step.actions) if step.actions else step.thought
        return said, f"OBSERVATION:\n{step.observation}"

    def prompt_lengths(self, task: str, steps: Sequence[Step], spans: Iterable[Span]) -> list[int | None]:
        """Characters of the prompt of each span of ``steps``; None: it cannot be rendered.

        Those that ``render_prompt`` makes, at the cost of rendering every step once.
        """
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
        """The text that rewards compare. Raises UnrepresentableActionError."""
        text = self.syntax.render(actions)
        if _THINK_TAG.search(text):
            raise UnrepresentableActionError(f"{self.name}: the action holds a <think> tag")
        return text

    def render(self, step: Step) -> str:
        """The whole completion for a step: thought, then actions. Raises UnrepresentableActionError."""
        thought = step.thought.strip()
        if not thought or _THINK_TAG.search(thought):
            raise UnrepresentableActionError("the thought is empty or holds a <think> tag")
        return f"<think>\n{thought}\n</think>\n\n{self.render_actions(step.actions)}"

    def split(self, completion: str) -> tuple[str, str]:
        """(thought, action text) of a completion, outer white space stripped; the action is not parsed yet.

        Raises FormatError unless there is exactly one ``<think>…</think>``, first, with a thought in it,
        and something after it.
        """
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

    def parse(self, completion: str) -> Step:
        """The step a completion stands for, observation empty. Raises FormatError."""
        thought, action = self.split(completion)
        return Step(thought=thought, actions=self.syntax.parse(action), observation="")


def _note(omitted: int) -> str:
    return f"\n\n[{omitted} earlier steps are not shown]" if omitted else ""


def count_characters(prompt: Iterable[Message]) -> int:
    """Characters of all messages."""
    return sum(len(message["content"]) for message in prompt)


def without_thinking(text: str) -> str:
    """What a completion says outside its thinking: after the last ``</think>``, up to a ``<think>`` left open.

    >>> without_thinking("<think>Or ls?</think> pwd"), without_thinking("pwd <think>or")
    (' pwd', 'pwd ')
    """
    return text.rpartition("</think>")[2].partition("<think>")[0]


def thinking(text: str) -> str:
    """The thinking of a completion, also where the prompt's template opened it; outer white space stripped."""
    before = text.rpartition("</think>")[0]
    return (before.partition("<think>")[2] or before).strip()


def prose(text: str) -> str:
    """What a completion without an action says: all but its thinking, or all of it if it is nothing else."""
    return without_thinking(text).strip() or text.strip()


def describe_tools(tools: Mapping[str, Sequence[str]]) -> str:
    """One line a tool: ``bash(command)``."""
    return "\n".join(f"{name}({', '.join(arguments)})" for name, arguments in tools.items())
