"""``harness.train`` with a script in the place of the sampler.

Of an issue of the demo half of each group gives the reference fix, of an embedded problem half gives its answer; steps
of a problem get longer from completion to completion.

``CUT=PID`` kills that process (a way to the container engine, at the socket ``WAY``) before the answers of the second
batch are judged; the third batch waits until there is a way again.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from typing import Any

from trl import GRPOTrainer

from harness.cli import run
from harness.demo.math import problems_path
from harness.demo.sources import load_sources
from harness.train import main
from tests.scripted_answers import render_edits

FIXES = {source.statement: render_edits(source.buggy(), source.correct()) for source in load_sources()}

PROBLEMS = [json.loads(line) for line in problems_path().read_text(encoding="utf-8").splitlines()]
ANSWERS = {row["question"]: row["answer"] for row in PROBLEMS}


def _answer(prompt: str, place: int, *, right: bool) -> str:
    if "Write step" in prompt:
        return f"<think>\nNext.\n</think>\n\n**Multiply** The boxes{' hold' * place}."
    for question, answer in ANSWERS.items():
        if question in prompt:
            return f"\\boxed{{{answer if right else 'no'}}}"
    fix = next(text for issue, text in FIXES.items() if issue in prompt)
    return fix if right else "I would rather not."


def wait_for(path: str) -> None:
    while True:
        with socket.socket(socket.AF_UNIX) as way, contextlib.suppress(OSError):
            way.connect(path)
            return
        time.sleep(0.05)


def generate(
    self: Any, prompt_ids: list[list[int]], images: Any, fields: Any, num_generations: int, **kwargs: Any
) -> tuple[list[list[int]], None]:
    if self.state.global_step == 1 and "CUT" in os.environ:
        os.kill(int(os.environ.pop("CUT")), signal.SIGKILL)
    if self.state.global_step == 2 and "WAY" in os.environ:
        wait_for(os.environ.pop("WAY"))
    tokenizer = self.processing_class
    answers = []
    for number, ids in enumerate(prompt_ids):
        place = number % num_generations
        answer = _answer(tokenizer.decode(ids), place, right=place < num_generations // 2)
        answers.append([*tokenizer.encode(answer, add_special_tokens=False), tokenizer.eos_token_id])
    return answers, None


GRPOTrainer._generate_single_turn = generate

if __name__ == "__main__":
    sys.exit(run(main))
