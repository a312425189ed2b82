"""A policy as a user of commit 403be40 wrote one, named in a recipe by its dotted path: knows some answers."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWERS = {"What is 2 + 3?": "5", "What is 4 * 6?": "24"}


@dataclass(frozen=True)
class Said:
    """A completion: the fields that a policy gives."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 10
    completion_tokens: int = 3
    token_ids: Any = None
    logprobs: Any = None


@dataclass(frozen=True, kw_only=True)
class KnowsSome:
    """The sum always, the product in every other sample, the power never. ``log``: what is asked, a line each."""

    log: str = "asked.txt"
    seconds: float = 0.0

    name = "knows some"

    def generate(self, prompt: Any, *, n: int = 1, sampling: Any) -> list[Said]:
        """``n`` answers to the problem in the last message."""
        question = prompt[-1]["content"].removeprefix("Problem:\n")
        with Path(self.log).open("a", encoding="utf-8") as log:
            log.write(f"{'sampled' if sampling.temperature else 'greedy'} {question}\n")
        time.sleep(self.seconds)
        return [Said(self._answer(question, sample)) for sample in range(n)]

    def _answer(self, question: str, sample: int) -> str:
        known = ANSWERS.get(question)
        if known is None:
            return "I do not know."
        wrong = "*" in question and sample % 2
        return f"1. **Work it out** The answer is \\boxed{{{0 if wrong else known}}}."
