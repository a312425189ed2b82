"""Measure any policy on held-out steps and tasks, with the lines and metrics of validation in training."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

from transformers import TrainerState

from harness.cli import UserError, user_errors
from harness.config.validation import PolicyValidationRecipe
from harness.console import Console
from harness.data.scoring import score_examples
from harness.jsonl import drop_torn_line, read_rows
from harness.machine.describe import describe_machine
from harness.run_folder import RunFolder, now
from harness.training.inputs import Inputs, load_inputs
from harness.training.outcomes.base import ids
from harness.training.records import AnswerLine, StepLine
from harness.training.sampling import recipe_chat, recipe_sampling
from harness.training.validation import answer_lines, step_lines, summarize, summarize_answers
from srl_agent.formats import Message
from srl_agent.models.packaged import ModelError, resolve_model
from srl_agent.policies import Completion, ContextOverflowError, Policy, PolicyError, Sampling, make_policy

STAGE = "policy"  # of the lines: no stage of a training run has this name

T = TypeVar("T")
LineT = TypeVar("LineT", StepLine, AnswerLine)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A policy, and what it is measured on."""

    recipe: PolicyValidationRecipe
    inputs: Inputs
    policy: Policy

    def describe(self) -> str:
        table, tasks = self.recipe.validation, self.inputs.tasks
        steps = len(self.inputs.data.validation) if table.steps else 0
        answers = len(tasks.split.validation) if tasks else 0
        return f"{steps} held-out steps x {table.samples} completions, {answers} held-out tasks"


def load_work(recipe: PolicyValidationRecipe) -> Work:
    """Load what a recipe names. Raises UserError."""
    inputs = load_inputs(recipe, check_contamination=False)
    with user_errors(ValueError, usage=True), user_errors(PolicyError, ModelError, about="policy"):
        policy = make_policy(recipe.policy.name, recipe.policy.settings)
    return Work(recipe=recipe, inputs=inputs, policy=policy)


def validate_policy(work: Work, folder: RunFolder) -> None:
    """Measure what is not in the folder yet, then print the metrics. Raises UserError, what was done is kept."""
    console = Console()
    console.info(f"run: {folder.path}\n{work.describe()}")
    folder.update_manifest(
        run_name=folder.path.name,
        status="running",
        started=now(),
        policy=work.policy.name,
        **describe_machine(),
    )
    try:
        metrics = {**_measure_steps(work, folder, console), **_measure_tasks(work, folder, console)}
    except (PolicyError, KeyboardInterrupt) as error:
        folder.update_manifest(status="interrupted")
        console.info(f"stopped; resume it with: python -m harness.validate --resume {folder.path}")
        if isinstance(error, PolicyError):
            raise UserError(str(error)) from error
        raise
    row = {"stage": STAGE, "step": 0, "time": time.time(), "kind": "validation"}
    folder.write_rows(folder.metrics, [{**row, **metrics}])
    folder.update_manifest(status="finished", finished=now())
    for name, value in metrics.items():
        print(f"{name} {value:.4f}")


def _measure_steps(work: Work, folder: RunFolder, console: Console) -> dict[str, float]:
    data, table = work.inputs.data, work.recipe.validation
    if not table.steps:
        return {}
    rewards = work.inputs.rewards.with_measures(data.action_format)
    with user_errors(ModelError):  # of completions whose server lists no tokens
        model = resolve_model(work.recipe.model.name, console.info)
        tokenizer = recipe_chat(work.recipe, model).tokenizer
    sampling = replace(
        recipe_sampling(work.recipe), temperature=table.temperature, max_tokens=table.max_new_tokens, seed=0
    )
    lines = _stored(folder.validation, StepLine)
    known = {line.key[:2] for line in lines}
    examples = (data.example(ref) for ref in data.validation)
    asked = (
        (example, example.prompt)
        for example in examples
        if (example.trajectory_id, example.step_index) not in known
    )
    with console.progress("validating", len(data.validation) - len(known)) as advance:
        for example, completions in _answered(work, asked, table.samples, sampling, console):
            numbered = [(example, sample) for sample in range(table.samples)]
            same = [example] * table.samples
            scores = score_examples(rewards, same, completions, tokenizer=tokenizer, state=TrainerState())
            made = step_lines(data.action_format, STAGE, 0, numbered, completions, scores)
            folder.append(folder.validation, map(asdict, made))
            lines += made
            advance(1)
    return summarize(_in_order(lines, folder, folder.validation))


def _measure_tasks(work: Work, folder: RunFolder, console: Console) -> dict[str, float]:
    tasks, table = work.inputs.tasks, work.recipe.validation
    if tasks is None:
        return {}
    greedy = replace(recipe_sampling(work.recipe), max_tokens=table.outcome_max_new_tokens)
    lines = _stored(folder.outcomes, AnswerLine)
    known = {line.task_id for line in lines}
    names = [name for name in ids(tasks.split.validation) if name not in known]
    with closing(tasks), console.progress("verifying", len(names)) as advance:
        tasks.start(console)
        answered = _answered(work, ((name, tasks.prompt(name)) for name in names), 1, greedy, console)
        while some := list(islice(answered, work.recipe.workers)):
            completions = [made[0] for _, made in some]
            graded = answer_lines(tasks, STAGE, 0, [name for name, _ in some], completions)
            folder.append(folder.outcomes, map(asdict, graded))
            lines += graded
            advance(len(some))
    return summarize_answers(_in_order(lines, folder, folder.outcomes))


def _answered(
    work: Work, asked: Iterable[tuple[T, list[Message]]], samples: int, sampling: Sampling, console: Console
) -> Iterator[tuple[T, list[Completion]]]:
    """Yield each item with its completions, in order; several are asked for at once. Raises PolicyError."""

    def ask(item: tuple[T, list[Message]]) -> tuple[T, list[Completion]]:
        subject, prompt = item
        try:
            return subject, work.policy.generate(prompt, n=samples, sampling=sampling)
        except ContextOverflowError as error:
            console.info(f"warning: counts as an empty answer: {error}")
            empty = Completion(text="", finish_reason="length", prompt_tokens=0, completion_tokens=0)
            return subject, [empty] * samples

    left = iter(asked)
    with ThreadPoolExecutor(work.recipe.workers) as pool:
        waiting = deque(pool.submit(ask, item) for item in islice(left, work.recipe.workers))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(ask, item) for item in islice(left, 1))


def _stored(path: Path, kind: type[LineT]) -> list[LineT]:
    """Return the lines that an interrupted validation has written. Raises UserError."""
    drop_torn_line(path)
    return [kind(**row) for row in read_rows(path)]


def _in_order(lines: list[LineT], folder: RunFolder, path: Path) -> list[LineT]:
    """Return the lines in the order in which training writes them, after writing them so."""
    lines.sort(key=lambda line: line.key)
    folder.write_rows(path, map(asdict, lines))
    return lines
