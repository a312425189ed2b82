"""Rewards of the tests, named in recipes as ``tests.plugin_rewards:…``; they differ between random texts."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any

from srl_agent.rewards import completion_text


def letters(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
    """Return the share of vowels; slowly, if a test needs time to kill the run."""
    time.sleep(float(os.environ.get("SLOW_REWARD", "0")))
    texts = [completion_text(completion) for completion in completions]
    return [sum(text.count(vowel) for vowel in "aeiou") / max(len(text), 1) for text in texts]


def letters_of_even_steps(
    prompts: Any, completions: Any, *, step_index: Any, **columns: Any
) -> list[float | None]:
    """Give no spread on odd steps: their advantages are zero."""
    scores = letters(prompts, completions)
    return [score if index % 2 == 0 else 0.5 for score, index in zip(scores, step_index, strict=True)]


def unjudged_on_odd_steps(
    prompts: Any, completions: Any, *, step_index: Any, **columns: Any
) -> list[float | None]:
    """Return None on odd steps."""
    scores = letters(prompts, completions)
    return [score if index % 2 == 0 else None for score, index in zip(scores, step_index, strict=True)]


def share_of(completions: Any, *, wanted: str, scale: float = 1.0, **columns: Any) -> list[float]:
    """Return the share of the letters ``wanted``, a setting."""
    texts = [completion_text(completion) for completion in completions]
    return [scale * sum(map(text.count, wanted)) / max(len(text), 1) for text in texts]


async def counted(completions: Any, log_extra: Any, log_metric: Any, **columns: Any) -> list[float]:
    """Return the share of vowels, and log the lengths."""
    await asyncio.sleep(0)
    texts = [completion_text(completion) for completion in completions]
    log_extra("characters", [len(text) for text in texts])
    log_metric("longest", max(map(len, texts)))
    return [sum(map(text.count, "aeiou")) / max(len(text), 1) for text in texts]


def bounded(completion_ids: Any, trainer_state: Any, *, log_extra: Any, **columns: Any) -> list[float]:
    """Return the distance of the numbers of tokens to the update's number."""
    log_extra("update", [trainer_state.global_step] * len(completion_ids))
    return [abs(len(ids) - trainer_state.global_step) / 100 for ids in completion_ids]


class Longest:
    """A reward as a class: the share of the longest word."""

    def __init__(self, *, separator: str = " ", action_format: Any) -> None:
        self.separator = separator
        self.format_name = action_format.name

    def __call__(self, completions: Any, **columns: Any) -> list[float]:
        texts = [completion_text(completion) for completion in completions]
        return [max(map(len, text.split(self.separator))) / max(len(text), 1) for text in texts]


def no_reward(*, size: int = 1) -> Sequence[int]:
    """Make a thing that is no reward."""
    return [size]


NUMBER = 3


def fails(completions: Any, **columns: Any) -> list[float]:
    """Divide by zero."""
    return [1 / 0 for _ in completions]


def by_update(
    prompts: Any, completions: Any, *, trainer_state: Any, curve: dict[str, float], **columns: Any
) -> list[float]:
    """A held-out reward that is given for each update."""
    return [curve[str(trainer_state.global_step)] for _ in completions]
