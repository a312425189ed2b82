"""Held-out accuracy of verified answers, stage by stage. Pure: no I/O, no rendering."""

from collections.abc import Mapping
from typing import Any

from harness.config.stages import BASE
from harness.reporting.data import Evaluation, HeldOutRow, RunData
from harness.reporting.measures import stage_pairs, trained_stage
from harness.statistics.binomial import compare, wilson
from harness.statistics.bootstrap import StepKey, paired_difference

Rows = Mapping[StepKey, HeldOutRow]


def accuracy_numbers(run: RunData, chosen: Mapping[str, Evaluation]) -> dict[str, Any] | None:
    """Accuracy by stage and between stages, None for a run without verified tasks."""
    rows = {
        stage: run.outcomes[evaluation] for stage, evaluation in chosen.items() if evaluation in run.outcomes
    }
    if not rows:
        return None
    pairs = stage_pairs(rows)
    trained = trained_stage(rows)
    if BASE in rows and trained is not None and (BASE, trained) not in pairs:
        pairs.append((BASE, trained))
    return {
        "stages": {stage: accuracy_of(answers) for stage, answers in rows.items()},
        "differences": [accuracy_difference(rows[b], rows[a], {"from": a, "to": b}) for a, b in pairs],
    }


def accuracy_of(rows: Rows) -> dict[str, Any]:
    """Share of right answers with its Wilson interval; answers that nobody could judge are counted apart."""
    judged = [row.reward for row in rows.values() if row.reward is not None]
    rate = (
        wilson(int(sum(judged)), len(judged)).as_json() if judged else dict.fromkeys(("mean", "low", "high"))
    )
    answered = sum(row.well_formed for row in rows.values()) / len(rows) if rows else None
    return {**rate, "n": len(judged), "unjudged": len(rows) - len(judged), "answer_rate": answered}


def accuracy_difference(after: Rows, before: Rows, names: Mapping[str, str]) -> dict[str, Any]:
    """``after - before`` on the tasks that both judged: interval over tasks, and the exact McNemar test."""
    solved = [
        {key[0]: bool(row.reward) for key, row in rows.items() if row.reward is not None}
        for rows in (before, after)
    ]
    try:
        test = compare(*solved)
    except ValueError:  # no task in common
        return {**names, "mean": None, "low": None, "high": None, "n": 0, "p_value": None, "verdict": None}
    interval = paired_difference(
        {key: row.reward for key, row in after.items()}, {key: row.reward for key, row in before.items()}
    )
    return {**names, **interval.as_json(), "p_value": test.p_value, "verdict": test.verdict}
