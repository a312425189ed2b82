"""Prepared answers: for tests, and to prove that a scaffold can solve what an expert solved."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from srl_agent.formats import ActionFormat, Message, UnrepresentableActionError
from srl_agent.generation.types import Completion, Sampling
from srl_agent.policies.base import PolicyError
from srl_agent.steps import PromptSettings, render_next
from trajectories import Step, Trajectory


class ScriptedPolicy:
    """Answers with ``answer(prompt)``. It counts words as tokens."""

    def __init__(self, answer: Callable[[Sequence[Message]], str], *, name: str = "scripted") -> None:
        self._answer = answer
        self._name = name
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @classmethod
    def from_trajectories(
        cls,
        trajectories: Iterable[Trajectory],
        *,
        action_format: ActionFormat,
        settings: PromptSettings | None = None,
        name: str = "expert",
    ) -> "ScriptedPolicy":
        """Return a policy that answers the prompt of each step as the expert did.

        Prompts are compared without observations, which differ between runs (durations, for example). If two
        trajectories answer a prompt, the first one counts. Raises UnrepresentableActionError.
        """
        shown = settings or PromptSettings()
        known: dict[tuple[str, ...], str] = {}
        for trajectory in trajectories:
            for index, step in enumerate(trajectory.steps):
                past = trajectory.steps[:index]
                prompt = render_next(trajectory.task, past, settings=shown, action_format=action_format)
                known.setdefault(_without_observations(prompt), _completion(step, action_format))

        def answer(prompt: Sequence[Message]) -> str:
            text = known.get(_without_observations(prompt))
            if text is None:
                raise PolicyError(
                    f"{name}: no recorded expert step matches this prompt; are format, context window and limits those "
                    f"of the recording? It ends: {prompt[-1]['content'][-200:]!r}"
                )
            return text

        return cls(answer, name=name)

    def generate(self, prompt: Sequence[Message], *, n: int = 1, sampling: Sampling) -> list[Completion]:
        """Return ``n`` answers. Raises PolicyError if the script has none."""
        with self._lock:
            texts = [self._answer(prompt) for _ in range(n)]
        words = sum(len(message["content"].split()) for message in prompt)
        made = partial(Completion, finish_reason="stop", prompt_tokens=words)
        return [made(text=text, completion_tokens=len(text.split())) for text in texts]


def _without_observations(prompt: Sequence[Message]) -> tuple[str, ...]:
    """Return system message, task and the agent's messages: all but the user messages after the first."""
    users = [index for index, message in enumerate(prompt) if message["role"] == "user"]
    return tuple(m["content"] for index, m in enumerate(prompt) if index not in users[1:])


def _completion(step: Step, action_format: ActionFormat) -> str:
    if not step.actions:
        return step.thought
    try:
        return action_format.render(step)
    except UnrepresentableActionError:  # possibly only because of the thought: it is empty or holds a tag
        return action_format.render(replace(step, thought="Next."))
