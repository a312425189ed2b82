"""The held-out metrics: step reward of completions, accuracy of greedy answers, the same code for every stage."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config.tables import ValidationTable
from harness.console import Console
from harness.data.scoring import format_error, score_examples
from harness.data.step_data import StepData
from harness.run_folder import RunFolder
from harness.statistics.binomial import wilson
from harness.statistics.bootstrap import cluster_bootstrap
from harness.training.outcomes import Outcomes
from srl_agent.formats import Message
from srl_agent.generation.types import Completion, Sampling
from srl_agent.rewards import Score, WeightedRewards
from srl_agent.step_kinds import KINDS
from srl_agent.steps import StepExample


@dataclass(frozen=True, kw_only=True)
class Validator:
    """Measures a model on the held-out steps and tasks, and writes every row."""

    data: StepData
    rewards: WeightedRewards  # all that are measured
    settings: ValidationTable
    tokenizer: Any
    run: RunFolder
    console: Console
    outcomes: Outcomes | None = None

    def __call__(self, trainer: Any, stage: str) -> dict[str, float]:
        """Validate inside a stage, over all processes of the trainer; main process writes."""
        from trl.models import unwrap_model_for_generation

        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            return self.measure(model, stage, trainer.state.global_step, trainer.accelerator)

    def measure(self, model: Any, stage: str, step: int, accelerator: Any = None) -> dict[str, float]:
        """Metrics of a model; rows go to validation.jsonl and outcomes.jsonl."""
        metrics: dict[str, float] = {}
        if self.settings.steps:
            metrics |= summarize(self._measure_steps(model, stage, step, accelerator))
        if self.outcomes is not None:
            metrics |= summarize_outcomes(self._measure_outcomes(model, stage, step, accelerator))
        return metrics

    def _measure_steps(self, model: Any, stage: str, step: int, accelerator: Any) -> list[dict[str, Any]]:
        rank, world = _place(accelerator)
        held_out = [self.data.example(ref) for ref in self.data.validation[rank::world]]
        numbered = [(example, sample) for example in held_out for sample in range(self.settings.samples)]
        examples = [example for example, _ in numbered]
        completions = self._complete(
            model,
            [example.prompt for example in examples],
            f"validating {stage}",
            # The same random numbers at every evaluation: what differs is the model.
            Sampling(
                temperature=self.settings.temperature, max_tokens=self.settings.max_new_tokens, seed=rank
            ),
        )
        texts = [completion.text for completion in completions]
        scores = score_examples(self.rewards, examples, texts) if examples else []
        rows = [
            {**self._row(stage, step, example, completion, score), "sample": sample}
            for (example, sample), completion, score in zip(numbered, completions, scores, strict=True)
        ]
        return self._gathered(rows, self.run.validation, world)

    def _measure_outcomes(self, model: Any, stage: str, step: int, accelerator: Any) -> list[dict[str, Any]]:
        assert self.outcomes is not None
        rank, world = _place(accelerator)
        names = list(self.outcomes.validation[rank::world])
        prompts = [self.outcomes.prompt(name) for name in names]
        what = f"verifying {stage}"
        greedy = Sampling(max_tokens=self.settings.outcome_max_new_tokens)
        completions = self._complete(model, prompts, what, greedy)
        texts = [completion.text for completion in completions]
        rows: list[dict[str, Any]] = [
            {
                "stage": stage,
                "step": step,
                "trajectory_id": name,
                "step_index": 0,
                "kind": "answer",
                "expert_action": self.outcomes.reference(name),
                "completion": completion.text,
                "clipped": completion.finish_reason == "length",
                "rewards": {},
                "reward": outcome.reward,
                "format_error": self.outcomes.malformed(completion.text),
                "exact_match": bool(outcome.solved),
                "reason": outcome.reason,
                "answer": outcome.answer,
                "detail": outcome.detail,
            }
            for name, completion, outcome in zip(
                names, completions, self.outcomes.judge(names, texts), strict=True
            )
        ]
        return self._gathered(rows, self.run.outcomes, world)

    def _complete(
        self, model: Any, prompts: Sequence[list[Message]], what: str, sampling: Sampling
    ) -> list[Completion]:
        from srl_agent.generation.generate import complete_all
        from srl_agent.training.memory import return_free_memory

        return_free_memory()
        with self.console.progress(what, len(prompts)) as advance:
            return complete_all(
                model,
                self.tokenizer,
                prompts,
                sampling=sampling,
                batch_size=self.settings.batch_size,
                on_done=advance,
            )

    def _gathered(self, rows: list[dict[str, Any]], path: Path, world: int) -> list[dict[str, Any]]:
        """The rows of all processes in order, written."""
        from accelerate.utils import gather_object

        if world > 1:
            rows = gather_object(rows)
        rows.sort(key=lambda row: (row["trajectory_id"], row["step_index"], row.get("sample", 0)))
        self.run.append(path, rows)
        return rows

    def _row(
        self, stage: str, step: int, example: StepExample, completion: Completion, score: Score
    ) -> dict[str, Any]:
        text = completion.text
        error, action = self.format_error(text), None
        if error is None:
            _, action = self.data.action_format.split(text)
        return {
            "stage": stage,
            "step": step,
            "trajectory_id": example.trajectory_id,
            "step_index": example.step_index,
            "kind": example.kind,
            "expert_action": example.expert_action,
            "completion": text,
            "clipped": completion.finish_reason == "length",
            "rewards": dict(score.parts),
            "reward": score.total,
            "format_error": error,
            "exact_match": action == example.expert_action,
        }

    def format_error(self, text: str) -> str | None:
        """What is wrong with a completion's format, or None."""
        return format_error(self.data.action_format, text)


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Metrics of the rows of one evaluation, by TRL's naming: ``eval_`` first."""
    interval = cluster_bootstrap(_by_trajectory(rows))
    metrics = {
        "eval_step_reward": interval.mean,
        "eval_format_rate": sum(row["format_error"] is None for row in rows) / len(rows),
        "eval_exact_match_rate": sum(row["exact_match"] for row in rows) / len(rows),
    }
    if interval.low is not None and interval.high is not None:
        metrics |= {"eval_step_reward_low": interval.low, "eval_step_reward_high": interval.high}
    return metrics | {f"eval_step_reward/{kind}": value["mean"] for kind, value in _by_kind(rows).items()}


def summarize_outcomes(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Metrics of the answers of one evaluation; answers that nobody could judge are counted, not averaged."""
    judged = [row["reward"] for row in rows if row["reward"] is not None]
    metrics = {
        "eval_unjudged": float(len(rows) - len(judged)),
        "eval_answer_rate": sum(row["format_error"] is None for row in rows) / len(rows),
    }
    if not judged:
        return metrics
    interval = wilson(int(sum(judged)), len(judged))
    return metrics | {
        "eval_accuracy": interval.share,
        "eval_accuracy_low": interval.low,
        "eval_accuracy_high": interval.high,
    }


def _place(accelerator: Any) -> tuple[int, int]:
    """This process and how many there are."""
    return (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)


def _by_trajectory(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    values: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        values[row["trajectory_id"]].append(row["reward"])
    return values


def _by_kind(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    values = {
        kind: [r["reward"] for r in rows if r["kind"] == kind and r["reward"] is not None] for kind in KINDS
    }
    return {kind: {"mean": sum(v) / len(v), "n": len(v)} for kind, v in values.items() if v}
