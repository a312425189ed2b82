"""Answers that are known before: for tests, and to prove that a scaffold can solve what an expert solved."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from srl_agent.formats import ActionFormat, Message, UnrepresentableActionError
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import PolicyError
from srl_agent.steps import PromptSettings, render_next
from trajectories import Step, Trajectory


class ScriptedPolicy:
    """Answers with ``answer(prompt)``. It has no tokens: white space separates what it counts as such."""

    def __init__(self, answer: Callable[[Sequence[Message]], str], *, name: str = "scripted") -> None:
        self._answer = answer
        self._name = name
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @classmethod
    def in_turn(cls, answers: Mapping[str, Sequence[str]], *, name: str = "scripted") -> "ScriptedPolicy":
        """Answers by task: the next of those whose key, e.g. the issue's text, stands in the prompt."""
        given = dict.fromkeys(answers, 0)

        def answer(prompt: Sequence[Message]) -> str:
            text = "\n".join(message["content"] for message in prompt)
            key = next((key for key in answers if key in text), None)
            if key is None:
                raise PolicyError(f"{name}: no script for this prompt: {prompt[-1]['content'][:200]!r}")
            if given[key] == len(answers[key]):
                raise PolicyError(
                    f"{name}: the script of {key[:60]!r} ends after {len(answers[key])} answers"
                )
            given[key] += 1
            return answers[key][given[key] - 1]

        return cls(answer, name=name)

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Iterable[Trajectory],
        *,
        action_format: ActionFormat,
        settings: PromptSettings | None = None,
        name: str = "expert",
    ) -> "ScriptedPolicy":
        """Answers the prompt of each step as the expert did.

        A prompt is known by what it says apart from observations: these differ from run to run (durations, say).
        Of two trajectories that answer a prompt the first one counts. Raises UnrepresentableActionError.
        """
        shown = settings or PromptSettings()
        known: dict[tuple[str, ...], str] = {}
        for trajectory in trajectories:
            for index, step in enumerate(trajectory.steps):
                prompt = render_next(
                    trajectory.task, trajectory.steps[:index], settings=shown, action_format=action_format
                )
                known.setdefault(_without_observations(prompt), _completion(step, action_format))

        def answer(prompt: Sequence[Message]) -> str:
            text = known.get(_without_observations(prompt))
            if text is None:
                raise PolicyError(
                    f"{name}: no expert met this prompt; are format, context window and limits those of the "
                    f"replay? It ends: {prompt[-1]['content'][-200:]!r}"
                )
            return text

        return cls(answer, name=name)

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Raises PolicyError where the script has no answer."""
        with self._lock:
            texts = [self._answer(prompt) for _ in range(n)]
        words = sum(len(message["content"].split()) for message in prompt)
        return [
            Completion(
                text=text, finish_reason="stop", prompt_tokens=words, completion_tokens=len(text.split())
            )
            for text in texts
        ]


def _without_observations(prompt: Sequence[Message]) -> tuple[str, ...]:
    """System, task and what the agent said: all but the users' messages after the first one."""
    users = [index for index, message in enumerate(prompt) if message["role"] == "user"]
    return tuple(m["content"] for index, m in enumerate(prompt) if index not in users[1:])


def _completion(step: Step, action_format: ActionFormat) -> str:
    if not step.actions:
        return step.thought
    try:
        return action_format.render(step)
    except UnrepresentableActionError:  # perhaps the thought only: it is empty or holds a tag
        return action_format.render(replace(step, thought="Next."))
