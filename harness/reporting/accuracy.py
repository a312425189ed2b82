"""Accuracy on the verified validation tasks, stage by stage. Pure: no I/O, no rendering."""

from collections.abc import Mapping

from harness.config.stages import BASE
from harness.reporting.data import Evaluation, Results, RunData
from harness.reporting.measures import stage_pairs, trained_stage
from harness.reporting.schema import Accuracy, AccuracyDifference, AccuracyFigures, Pair
from harness.statistics.binomial import compare, wilson
from harness.statistics.bootstrap import NO_INTERVAL, paired_difference


def accuracy_numbers(run: RunData, chosen: Mapping[str, Evaluation]) -> Accuracy | None:
    """Return the accuracy of each stage and the differences between stages; None without verified tasks."""
    answers = {stage: run.outcomes[one] for stage, one in chosen.items() if one in run.outcomes}
    if not answers:
        return None
    pairs = stage_pairs(answers)
    trained = trained_stage(answers)
    if BASE in answers and trained is not None and (BASE, trained) not in pairs:
        pairs.append((BASE, trained))
    return {
        "stages": {stage: accuracy_of(of_stage) for stage, of_stage in answers.items()},
        "differences": [accuracy_difference(answers[a], answers[b], {"from": a, "to": b}) for a, b in pairs],
    }


def accuracy_of(answers: Results) -> AccuracyFigures:
    """Return the share of right answers with its Wilson interval; unjudged answers are counted apart."""
    judged = [answer.reward for answer in answers.values() if answer.reward is not None]
    unjudged = len(answers) - len(judged)
    share = sum(answer.well_formed for answer in answers.values()) / len(answers) if answers else None
    if not judged:
        return {"mean": None, "low": None, "high": None, "n": 0, "unjudged": unjudged, "answer_rate": share}
    rate = wilson(int(sum(judged)), len(judged))
    return {**rate.as_json(), "unjudged": unjudged, "answer_rate": share}


def accuracy_difference(before: Results, after: Results, pair: Pair) -> AccuracyDifference:
    """Return ``after - before`` on the tasks judged in both: interval over tasks, and the exact McNemar test."""
    first, second = (
        {key[0]: bool(answer.reward) for key, answer in answers.items() if answer.reward is not None}
        for answers in (before, after)
    )
    try:
        test = compare(first, second)
    except ValueError:  # no task in common
        return {**pair, **NO_INTERVAL, "p_value": None, "verdict": None}
    interval = paired_difference(
        {key: answer.reward for key, answer in after.items()},
        {key: answer.reward for key, answer in before.items()},
    )
    return {**pair, **interval.as_json(), "p_value": test.p_value, "verdict": test.verdict}
