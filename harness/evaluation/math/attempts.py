"""Answers to mathematical problems, greedy and sampled ones, and their verdicts."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from environments.math.tasks import MathTask
from environments.math.verifier import MathVerdict, MathVerifier
from harness.cli import UsageError, user_errors
from harness.config.evaluation import EvaluationRecipe
from harness.evaluation.items import Candidate, EvalItem
from harness.evaluation.records import AttemptRecord, Bucket, Key
from srl_agent.formats import get_format
from srl_agent.models.packaged import ModelError
from srl_agent.policies import Policy, PolicyError, make_policy
from srl_agent.scaffolds import ScaffoldTask, load_scaffold
from srl_agent.scaffolds.math import SOLUTION, MathScaffold

GREEDY: Literal["greedy"] = "greedy"
SAMPLED: Literal["sampled"] = "sampled"
# Reason of a verdict -> the bucket that its answer is counted in.
BUCKETS: Mapping[str, Bucket] = {
    "correct": "resolved",
    "wrong": "unresolved",
    "no_answer": "no_answer",
    "unjudged": "infra_failure",
}


@dataclass(frozen=True, kw_only=True)
class AnswerRecord(AttemptRecord):
    """A line of attempts.jsonl."""

    answer: str  # what was extracted; empty if nothing
    reference: str


@dataclass(frozen=True, kw_only=True)
class MathEvaluator:
    """Answers and verdicts on mathematical problems."""

    policy: Policy
    scaffold: MathScaffold
    verifier: MathVerifier
    temperature: float  # of the sampled answers

    def attempt(self, item: EvalItem[MathTask]) -> tuple[Candidate, ...]:
        started = time.monotonic()
        task = ScaffoldTask(instance_id=item.task.instance_id, repo="", problem_statement=item.task.problem)
        temperature = 0.0 if item.source == GREEDY else self.temperature
        sampling = replace(self.scaffold.sampling, temperature=temperature)
        rollouts = self.scaffold.attempts(task, self.policy, n=item.samples, sampling=sampling)
        share = (time.monotonic() - started) / item.samples
        return tuple(
            Candidate(text=str(rollout.trajectory.metadata[SOLUTION]), rollout=rollout, seconds=share)
            for rollout in rollouts
        )

    def verify(self, item: EvalItem[MathTask], text: str) -> MathVerdict:
        return self.verifier.verify(text, item.task.answer)

    def record(
        self, item: EvalItem[MathTask], key: Key, candidate: Candidate, verdict: MathVerdict | None
    ) -> AnswerRecord:
        return AnswerRecord(
            **key._asdict(),
            bucket=BUCKETS[verdict.reason] if verdict else candidate.failure or "infra_failure",
            detail=verdict.detail if verdict else candidate.error,
            answer=verdict.answer if verdict else "",
            reference=item.task.answer,
        )


def math_items(tasks: Sequence[MathTask], *, greedy: bool, samples: int) -> list[EvalItem[MathTask]]:
    """Return all that a run does, greedy answers first: they say early how it goes."""
    counts = {GREEDY: int(greedy), SAMPLED: samples}
    asked = [(source, count) for source, count in counts.items() if count]
    return [EvalItem(task=task, source=source, samples=count) for source, count in asked for task in tasks]


def make_evaluator(recipe: EvaluationRecipe) -> MathEvaluator:
    """Return the evaluator of a recipe. Raises UserError."""
    assert recipe.policy is not None  # the recipe is checked for it
    name = recipe.scaffold.name or "math"
    with user_errors(ValueError, usage=True), user_errors(PolicyError, ModelError, about="policy"):
        scaffold = load_scaffold(name, recipe.scaffold.settings, action_format=get_format("math-step"))
        policy = make_policy(recipe.policy.name, recipe.policy.settings)
    if not isinstance(scaffold, MathScaffold):
        raise UsageError(f"domain math: the scaffold is math, not {name} (scaffold.name=math)")
    return MathEvaluator(
        policy=policy,
        scaffold=scaffold,
        verifier=MathVerifier(seconds=recipe.verifier_seconds, workers=recipe.workers),
        temperature=recipe.temperature,
    )
