"""A few sampled groups and validation steps to read, picked by their numbers and then fetched by line."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from harness.config.stages import BASE
from harness.reporting.data import Evaluation, RunData, SampledGroup, StepResult, number_or_none
from harness.reporting.measures import trained_stage
from harness.statistics.bootstrap import StepKey
from trajectories.types import JSON

_LONGEST = 4000  # characters shown of a text


@dataclass(frozen=True, kw_only=True)
class CompletionView:
    """One completion as shown: the thought, and the action that is compared with the expert's."""

    thought: str
    action: str
    reward: float | None
    parts: Mapping[str, float | None]
    format_error: str | None


@dataclass(frozen=True, kw_only=True)
class GroupExample:
    """All completions sampled for one step."""

    title: str
    place: str
    kind: str
    expert: str
    completions: tuple[CompletionView, ...]
    mean: float | None
    spread: float | None
    reason: str | None  # why the group was dropped; None: kept


@dataclass(frozen=True, kw_only=True)
class ValidationExample:
    """One validation step, answered by the base and by the trained model."""

    title: str
    place: str
    kind: str
    expert: str
    before: CompletionView
    after: CompletionView


def group_examples(run: RunData) -> list[GroupExample]:
    """Return the groups with the highest, the median and the lowest spread of rewards."""
    groups = [(stage, g) for stage, steps in run.groups.items() for rows in steps.values() for g in rows]
    measured = [(stage, group, group.spread) for stage, group in groups if group.spread is not None]
    if not measured:
        return []
    median = statistics.median(spread for _, _, spread in measured)
    picks = {
        "The highest spread": max(measured, key=lambda item: item[2]),
        "A typical group": min(measured, key=lambda item: abs(item[2] - median)),
        "The lowest spread": min(measured, key=lambda item: item[2]),
    }
    seen: dict[int, GroupExample] = {}
    for title, (_, group, _) in picks.items():
        if group.offset not in seen:
            seen[group.offset] = _group_example(run, title, group)
    return list(seen.values())


def validation_examples(run: RunData, chosen: Mapping[str, Evaluation]) -> list[ValidationExample]:
    """Return the validation steps with the largest gain, the median change and the largest loss."""
    trained = trained_stage(chosen)
    if trained is None or chosen.get(BASE) not in run.validation or chosen[trained] == chosen[BASE]:
        return []
    before, after = run.validation[chosen[BASE]], run.validation[chosen[trained]]
    changes = sorted(
        (a.reward - b.reward, key)
        for key, a in after.items()
        if (b := before.get(key)) is not None and a.reward is not None and b.reward is not None
    )
    if not changes:
        return []
    picks: dict[StepKey, str] = {}
    for title, (_, key) in {
        "The largest gain": changes[-1],
        "A typical step": changes[len(changes) // 2],
        "The largest loss" if changes[0][0] < 0 else "The smallest gain": changes[0],
    }.items():
        picks.setdefault(key, title)
    return [_validation_example(run, title, key, before[key], after[key]) for key, title in picks.items()]


def _group_example(run: RunData, title: str, group: SampledGroup) -> GroupExample:
    row = run.read_line("samples.jsonl", group.offset)
    views = map(_view, row["completions"])
    completions = sorted(views, key=lambda view: (view.reward is not None, view.reward or 0.0), reverse=True)
    place = f"{row['stage']} step {row['step']} · {row.get('trajectory_id')} · step {row.get('step_index')}"
    return GroupExample(
        title=title,
        place=place,
        kind=str(row.get("kind")),
        expert=_clip(row.get("expert_action")),
        completions=tuple(completions),
        mean=number_or_none(row.get("reward_mean")),
        spread=group.spread,
        reason=group.reason,
    )


def _validation_example(
    run: RunData, title: str, key: StepKey, before: StepResult, after: StepResult
) -> ValidationExample:
    row_before = run.read_line("validation.jsonl", before.offset)
    row_after = run.read_line("validation.jsonl", after.offset)
    return ValidationExample(
        title=title,
        place=f"{key[0]} · step {key[1]}",
        kind=after.kind,
        expert=_clip(row_after["expert_action"]),
        before=_view({**row_before, "text": row_before.get("completion")}),
        after=_view({**row_after, "text": row_after.get("completion")}),
    )


def _view(completion: Mapping[str, JSON]) -> CompletionView:
    thought, end, action = str(completion.get("text") or "").partition("</think>")
    error = completion.get("format_error")
    return CompletionView(
        thought=_clip(thought + end).strip() if end else "",
        action=_clip(action if end else thought).strip(),
        reward=number_or_none(completion.get("reward")),
        parts={name: number_or_none(value) for name, value in (completion.get("rewards") or {}).items()},
        format_error=None if error is None else str(error),
    )


def _clip(text: JSON) -> str:
    text = str(text or "")
    cut = len(text) - _LONGEST
    return text if cut <= 0 else f"{text[:_LONGEST]}\n… {cut:,} characters more"
