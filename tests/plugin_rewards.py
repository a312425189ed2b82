"""Rewards of the tests, named in recipes as ``tests.plugin_rewards:…``; they differ between random texts."""

import os
import time
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
