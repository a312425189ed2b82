"""Held-out metrics: step reward of completions, accuracy of greedy answers; the same code for every stage."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from accelerate import Accelerator, PartialState
from accelerate.utils import gather_object
from transformers import Trainer, TrainerState
from trl.models import unwrap_model_for_generation

from harness.config.tables import ValidationTable
from harness.console import Console
from harness.data.scoring import format_error, score_examples
from harness.data.step_data import StepData
from harness.run_folder import RunFolder
from harness.statistics.binomial import wilson
from harness.statistics.bootstrap import cluster_bootstrap
from harness.training.outcomes.base import VerifiedTasks, ids
from harness.training.records import AnswerLine, StepLine
from srl_agent.formats import ActionFormat, Message
from srl_agent.generation.chat import Chat
from srl_agent.generation.generate import complete_all
from srl_agent.generation.types import Completion, Sampling
from srl_agent.rewards import Score, WeightedRewards
from srl_agent.step_kinds import KINDS
from srl_agent.steps import StepExample
from srl_agent.training.memory import return_free_memory

if TYPE_CHECKING:
    from srl_agent.generation.types import CausalLM

Line = TypeVar("Line", StepLine, AnswerLine)
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Validator:
    """Measures a model on the held-out steps and tasks, and writes every line."""

    data: StepData
    rewards: WeightedRewards  # all that are measured
    settings: ValidationTable
    chat: Chat
    sampling: Sampling  # its filters and penalties; temperature and length are those of the settings
    run: RunFolder
    console: Console
    tasks: VerifiedTasks | None = None

    def __call__(self, trainer: Trainer, stage: str) -> dict[str, float]:
        """Validate inside a stage, over all processes of the trainer; the main process writes."""
        again = trainer.args.gradient_checkpointing_kwargs  # it is turned off meanwhile
        with unwrap_model_for_generation(
            trainer.model_wrapped, trainer.accelerator, gradient_checkpointing_kwargs=again
        ) as model:
            return self.measure(model, stage, trainer.state, trainer.accelerator)

    def measure(
        self, model: "CausalLM", stage: str, state: TrainerState, processes: Accelerator | PartialState
    ) -> dict[str, float]:
        """Return metrics of a model, over all processes; lines go to validation.jsonl and outcomes.jsonl.

        Raises UserError.
        """
        step = state.global_step
        rank, world = processes.process_index, processes.num_processes
        metrics: dict[str, float] = {}
        if self.settings.steps:
            logged: list[tuple[str, float]] = []
            lines = self._measure_steps(model, stage, state, rank, world, logged)
            metrics |= means(gather_object(logged) if world > 1 else logged)
            metrics |= summarize(self._gathered(lines, self.run.validation, world))
        if self.tasks is not None:
            answers = self._measure_tasks(self.tasks, model, stage, step, rank, world)
            metrics |= summarize_answers(self._gathered(answers, self.run.outcomes, world))
        return metrics

    def _measure_steps(
        self,
        model: "CausalLM",
        stage: str,
        state: TrainerState,
        rank: int,
        world: int,
        logged: list[tuple[str, float]],
    ) -> list[StepLine]:
        """Return a line per completion; what rewards log by ``log_metric`` is added to ``logged``."""
        held_out = [self.data.example(ref) for ref in share_of(self.data.validation, rank, world)]
        numbered = [(example, sample) for example in held_out for sample in range(self.settings.samples)]
        examples = [example for example, _ in numbered]
        prompts, table = [example.prompt for example in examples], self.settings
        # The same random numbers at every evaluation: what differs is the model.
        sampling = replace(
            self.sampling, temperature=table.temperature, max_tokens=table.max_new_tokens, seed=rank
        )
        completions = self._complete(model, prompts, f"validating {stage}", sampling)
        scores = (
            score_examples(
                self.rewards,
                examples,
                completions,
                tokenizer=self.chat.tokenizer,
                state=state,
                log_metric=lambda name, value: logged.append((name, value)),
            )
            if examples
            else []
        )
        return step_lines(self.data.action_format, stage, state.global_step, numbered, completions, scores)

    def _measure_tasks(
        self, tasks: VerifiedTasks, model: "CausalLM", stage: str, step: int, rank: int, world: int
    ) -> list[AnswerLine]:
        names = share_of(ids(tasks.split.validation), rank, world)
        prompts = [tasks.prompt(name) for name in names]
        greedy = replace(self.sampling, temperature=0.0, max_tokens=self.settings.outcome_max_new_tokens)
        completions = self._complete(model, prompts, f"verifying {stage}", greedy)
        return answer_lines(tasks, stage, step, names, completions)

    def _complete(
        self, model: "CausalLM", prompts: Sequence[list[Message]], what: str, sampling: Sampling
    ) -> list[Completion]:
        return_free_memory()
        with self.console.progress(what, len(prompts)) as advance:
            return complete_all(
                model,
                self.chat,
                prompts,
                sampling=sampling,
                batch_size=self.settings.batch_size,
                on_done=advance,
            )

    def _gathered(self, lines: list[Line], path: Path, world: int) -> list[Line]:
        """Return the lines of all processes in order, after writing them."""
        if world > 1:
            lines = list({line.key: line for line in reversed(gather_object(lines))}.values())
        lines.sort(key=lambda line: line.key)
        self.run.append(path, (asdict(line) for line in lines))
        return lines

    def format_error(self, text: str) -> str | None:
        """Return what is wrong with a completion's format, or None."""
        return format_error(self.data.action_format, text)


def means(logged: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the mean of each metric that rewards logged, named as TRL does in an evaluation."""
    values: dict[str, list[float]] = defaultdict(list)
    for name, value in logged:
        if math.isfinite(value):
            values[f"eval_{name}"].append(value)
    return {name: sum(some) / len(some) for name, some in values.items()}


def share_of(items: Sequence[Item], rank: int, world: int) -> list[Item]:
    """Return the items of a process: as many as the others have, with the first one again where there are too few.

    Where the weights are split over processes, each call of the model needs them all.

    >>> share_of("abcde", 0, 2), share_of("abcde", 1, 2)
    (['a', 'c', 'e'], ['b', 'd', 'a'])
    """
    own, count = list(items[rank::world]), -(-len(items) // world)
    return own + [items[0]] * (count - len(own))


def step_lines(
    action_format: ActionFormat,
    stage: str,
    step: int,
    numbered: Sequence[tuple[StepExample, int]],
    completions: Sequence[Completion],
    scores: Sequence[Score],
) -> list[StepLine]:
    """Return the lines of scored completions of steps, each with the number of its sample."""
    return [
        _step_line(action_format, stage, step, example, sample, completion, score)
        for (example, sample), completion, score in zip(numbered, completions, scores, strict=True)
    ]


def _step_line(
    action_format: ActionFormat,
    stage: str,
    step: int,
    example: StepExample,
    sample: int,
    completion: Completion,
    score: Score,
) -> StepLine:
    error, action = format_error(action_format, completion.text), None
    if error is None:
        _, action = action_format.split(completion.text)
    return StepLine(
        stage=stage,
        step=step,
        trajectory_id=example.trajectory_id,
        step_index=example.step_index,
        kind=example.kind,
        expert_action=example.expert_action,
        completion=completion.text,
        clipped=completion.finish_reason == "length",
        rewards=score.parts,
        reward=score.total,
        format_error=error,
        exact_match=action == example.expert_action,
        sample=sample,
        extra=score.extra,
    )


def answer_lines(
    tasks: VerifiedTasks, stage: str, step: int, names: Sequence[str], completions: Sequence[Completion]
) -> list[AnswerLine]:
    """Grade one answer to each task."""
    grades = tasks.grade(names, [completion.text for completion in completions])
    return [
        AnswerLine(
            stage=stage,
            step=step,
            task_id=name,
            reference=tasks.reference(name),
            completion=completion.text,
            clipped=completion.finish_reason == "length",
            reward=grade.reward,
            format_error=tasks.format_error(completion.text),
            solved=grade.solved,
            reason=grade.reason,
            answer=grade.answer,
            detail=grade.detail,
        )
        for name, completion, grade in zip(names, completions, grades, strict=True)
    ]


def summarize(lines: Sequence[StepLine]) -> dict[str, float]:
    """Return the metrics of one evaluation, by TRL's naming: ``eval_`` first."""
    rewards: dict[str, list[float | None]] = defaultdict(list)
    by_kind: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for line in lines:
        rewards[line.trajectory_id].append(line.reward)
        if line.reward is not None:
            by_kind[line.kind].append(line.reward)
    interval = cluster_bootstrap(rewards)
    metrics = {
        "eval_step_reward": interval.mean,
        "eval_format_rate": sum(line.format_error is None for line in lines) / len(lines),
        "eval_exact_match_rate": sum(line.exact_match for line in lines) / len(lines),
    }
    if interval.low is not None and interval.high is not None:
        metrics |= {"eval_step_reward_low": interval.low, "eval_step_reward_high": interval.high}
    scored = {kind: rewards for kind, rewards in by_kind.items() if rewards}
    return metrics | {f"eval_step_reward/{kind}": sum(some) / len(some) for kind, some in scored.items()}


def summarize_answers(lines: Sequence[AnswerLine]) -> dict[str, float]:
    """Return the metrics of the answers of one evaluation; unverified answers are counted, not averaged."""
    verified = [line.reward for line in lines if line.reward is not None]
    metrics = {
        "eval_unjudged": float(len(lines) - len(verified)),
        "eval_answer_rate": sum(line.format_error is None for line in lines) / len(lines),
    }
    if not verified:
        return metrics
    rate = wilson(int(sum(verified)), len(verified))
    ends = {"eval_accuracy_low": rate.low, "eval_accuracy_high": rate.high}
    return metrics | {"eval_accuracy": rate.share, **ends}
