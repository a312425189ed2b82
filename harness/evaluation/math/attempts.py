"""Attempts at mathematical problems, and their verdicts: greedy ones and sampled ones."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from environments.math.tasks import MathTask
from environments.math.verifier import MathVerdict, MathVerifier
from harness.evaluation.folder import EvaluationFolder
from harness.jsonl import drop_torn_line, read_rows
from srl_agent.policies import Policy, PolicyError
from srl_agent.scaffolds import Rollout, ScaffoldTask
from srl_agent.scaffolds.math import SOLUTION, MathScaffold
from trajectories.store import to_json

Kind = Literal["greedy", "sampled"]
POLICY_FAILURE = "policy_failure"
# What the judge says of an answer -> the bucket it is counted in, by the names that all evaluations share.
BUCKETS = {
    "correct": "resolved",
    "wrong": "unresolved",
    "no_answer": "no_answer",
    "unjudged": "infra_failure",
}


@dataclass(frozen=True, kw_only=True)
class MathItem:
    """A problem, and how it is answered: once greedily, or so many times by sampling."""

    task: MathTask
    kind: Kind
    samples: int

    @property
    def key(self) -> tuple[str, Kind]:
        return self.task.instance_id, self.kind


@dataclass(frozen=True, kw_only=True)
class MathDone:
    """An item with its answers and verdicts, none if the model could not be asked."""

    item: MathItem
    rollouts: Sequence[Rollout]
    verdicts: Sequence[MathVerdict]
    error: str
    seconds: float

    @property
    def buckets(self) -> list[str]:
        """One for each sample."""
        if self.error:
            return [POLICY_FAILURE] * self.item.samples
        return [BUCKETS[verdict.reason] for verdict in self.verdicts]


@dataclass(frozen=True, kw_only=True)
class MathWorker:
    """Does items; safe to use from several threads."""

    policy: Policy
    scaffold: MathScaffold
    verifier: MathVerifier
    temperature: float  # of the sampled answers

    def __call__(self, item: MathItem) -> MathDone:
        started = time.monotonic()
        task = ScaffoldTask(instance_id=item.task.instance_id, repo="", problem_statement=item.task.problem)
        temperature = 0.0 if item.kind == "greedy" else self.temperature
        sampling = replace(self.scaffold.sampling, temperature=temperature)
        rollouts: list[Rollout] = []
        error = ""
        try:
            rollouts = self.scaffold.attempts(task, self.policy, n=item.samples, sampling=sampling)
        except PolicyError as failure:
            error = str(failure)
        texts = [str(rollout.trajectory.metadata[SOLUTION]) for rollout in rollouts]
        verdicts = [self.verifier.verify(text, item.task.answer) for text in texts]
        return MathDone(
            item=item,
            rollouts=rollouts,
            verdicts=verdicts,
            error=error,
            seconds=time.monotonic() - started,
        )


def math_items(tasks: Sequence[MathTask], *, greedy: bool, samples: int) -> list[MathItem]:
    """All that a run does, greedy answers first: they say early how it goes."""
    kinds: dict[Kind, int] = {}
    if greedy:
        kinds["greedy"] = 1
    if samples:
        kinds["sampled"] = samples
    return [MathItem(task=task, kind=kind, samples=n) for kind, n in kinds.items() for task in tasks]


def run_math_items(
    items: Sequence[MathItem],
    execute: Callable[[Iterable[MathItem]], Iterator[MathDone]],
    folder: EvaluationFolder,
    *,
    model_name: str,
    on_done: Callable[[MathDone], None],
) -> None:
    """Do ``items``; every outcome is on its way to the disk before the next is waited for."""
    for done in execute(items):
        folder.append(folder.rollouts, _rollout_rows(done, model_name))
        folder.append(folder.attempts, _attempt_rows(done))  # last: an item without all of them is done again
        on_done(done)


def unfinished_math_items(folder: EvaluationFolder, items: Sequence[MathItem]) -> list[MathItem]:
    """Items of which not every sample was answered, whatever the verdict. Lines that a kill cut off are removed."""
    for path in (folder.rollouts, folder.attempts):
        drop_torn_line(path)
    last = last_attempts(read_rows(folder.attempts))

    def is_answered(item: MathItem, sample: int) -> bool:
        row = last.get((*item.key, sample))
        return row is not None and row["bucket"] != POLICY_FAILURE

    return [item for item in items if not all(is_answered(item, sample) for sample in range(item.samples))]


def last_attempts(rows: Iterable[dict[str, Any]]) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The last line about each sample."""
    return {(row["instance_id"], row["source"], row["sample"]): row for row in rows}


def _attempt_rows(done: MathDone) -> list[dict[str, Any]]:
    empty = [MathVerdict(resolved=None, reason="unjudged", answer="", detail=done.error)] * done.item.samples
    verdicts = done.verdicts or empty
    return [
        {
            "instance_id": done.item.task.instance_id,
            "source": done.item.kind,
            "sample": sample,
            "bucket": bucket,
            "answer": verdict.answer,
            "reference": done.item.task.answer,
            "detail": verdict.detail,
        }
        for sample, (bucket, verdict) in enumerate(zip(done.buckets, verdicts, strict=True))
    ]


def _rollout_rows(done: MathDone, model_name: str) -> list[dict[str, Any]]:
    share = round(done.seconds / max(len(done.rollouts), 1), 3)
    return [
        {
            "instance_id": done.item.task.instance_id,
            "source": done.item.kind,
            "sample": sample,
            "model_name_or_path": model_name,
            "status": rollout.status,
            "error": rollout.error or "",
            "seconds": share,
            "prompt_tokens": sum(completion.prompt_tokens for completion in rollout.completions),
            "completion_tokens": sum(completion.completion_tokens for completion in rollout.completions),
            "completions": [completion.text for completion in rollout.completions],
            "trajectory": to_json(rollout.trajectory),
        }
        for sample, rollout in enumerate(done.rollouts)
    ]
