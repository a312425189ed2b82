"""Figures of a policy's calls, whether or not its patches resolve anything. Pure: from stored rollouts."""

from collections.abc import Iterable, Mapping, Sequence

from harness.statistics.binomial import Rate, RateJson, wilson
from srl_agent.rewards import structured_similarity
from trajectories import Action, Trajectory
from trajectories.filters.failed import failed_actions
from trajectories.types import JSON

_COULD_NOT_RUN = (126, 127)  # exit codes of a shell
Shares = RateJson | None


def call_figures(
    attempts: Sequence[Trajectory], first_calls: Mapping[str, Sequence[Action]] | None = None
) -> dict[str, JSON]:
    """Return shares of the calls of turn-by-turn attempts, with Wilson intervals over calls or attempts.

    A step without an action is a malformed call. A call fails if a tool refused it or a shell could not run it
    (:mod:`trajectories.filters.failed`); a failing test is no failed call. ``first_calls`` are an expert's, by
    instance: the first call of an attempt is compared with it by the structured reward, 0 where it is malformed.
    """
    steps = [step for attempt in attempts for step in attempt.steps]
    calls = [step for step in steps if step.actions]
    failed = sum(len(failed_actions(attempt, exit_codes=_COULD_NOT_RUN)) for attempt in attempts)
    return {
        "steps": len(steps),
        "steps_per_attempt": len(steps) / len(attempts) if attempts else None,
        "malformed": _share(len(steps) - len(calls), len(steps)),
        "executed_without_error": _share(len(calls) - failed, len(steps)),
        "first_call": _first_calls(attempts, first_calls or {}),
    }


def expert_first_calls(trajectories: Iterable[Trajectory]) -> dict[str, tuple[Action, ...]]:
    """Return the first actions of each instance's trajectory."""
    return {t.instance_id: step.actions for t in trajectories for step in t.steps[:1] if step.actions}


def _first_calls(
    attempts: Sequence[Trajectory], expert: Mapping[str, Sequence[Action]]
) -> dict[str, JSON] | None:
    """Compare the attempts at instances that an expert attempted; None if there are none."""
    known = [attempt for attempt in attempts if attempt.instance_id in expert]
    if not known:
        return None
    scores = []
    for attempt in known:
        actions = attempt.steps[0].actions if attempt.steps else ()
        scores.append(structured_similarity(actions, expert[attempt.instance_id]) if actions else 0.0)
    exact = _share(sum(score == 1.0 for score in scores), len(scores))
    return {"structured": sum(scores) / len(scores), "exact": exact}


def _share(count: int, total: int) -> Shares:
    rate: Rate | None = wilson(count, total) if total else None
    return rate.as_json() if rate else None
