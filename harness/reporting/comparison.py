"""Several runs side by side: pure, from what each folder holds."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import yaml

from harness.cli import UserError
from harness.reporting.accuracy import accuracy_difference
from harness.reporting.data import HeldOutRow, RunData
from harness.reporting.measures import difference_of, measured_names, trained_stage, values_of
from harness.reporting.numbers import SCHEMA_VERSION, chosen_evaluations, report_numbers
from harness.statistics.bootstrap import StepKey


def comparison_numbers(runs: Sequence[RunData]) -> dict[str, Any]:
    """report.json of a comparison: every run's own figures, and each pair of runs on the steps they share."""
    labels = run_labels(runs)
    warnings: list[str] = []
    by_label = dict(zip(labels, runs, strict=True))
    answers = {label: _trained_answers(run) for label, run in zip(labels, runs, strict=True)}
    differences = [_pair(by_label, a, b, warnings) for a, b in combinations(labels, 2)]
    rewards = {run.trained_on for run in runs}
    if len(rewards) > 1:
        warnings.append(f"the runs were trained on different rewards ({', '.join(sorted(rewards))})")
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": {label: report_numbers(run) for label, run in zip(labels, runs, strict=True)},
        "differences": differences,
        "accuracy_differences": [_accuracy_pair(answers, a, b) for a, b in combinations(labels, 2)]
        if all(answers.values())
        else [],
        "settings": _differing_settings(dict(zip(labels, (run.config for run in runs), strict=True))),
        "warnings": warnings,
    }


def run_labels(runs: Sequence[RunData]) -> list[str]:
    """The runs' names, or their folders where two names are the same."""
    names = [run.name for run in runs]
    labels = [n if names.count(n) == 1 else str(run.folder) for n, run in zip(names, runs, strict=True)]
    if len(set(labels)) < len(labels):
        raise UserError(f"{max(labels, key=labels.count)}: the same run is given twice")
    return labels


def _trained_rows(run: RunData) -> Mapping[StepKey, HeldOutRow]:
    chosen = chosen_evaluations(run, [])
    trained = trained_stage(chosen)
    return run.held_out.get(chosen[trained], {}) if trained else {}


def _trained_answers(run: RunData) -> Mapping[StepKey, HeldOutRow]:
    chosen = chosen_evaluations(run, [])
    trained = trained_stage(chosen)
    return run.outcomes.get(chosen[trained], {}) if trained else {}


def _accuracy_pair(answers: Mapping[str, Mapping[StepKey, HeldOutRow]], a: str, b: str) -> dict[str, Any]:
    """On the tasks with the same id and the same right answer."""
    shared = {
        key
        for key in answers[a].keys() & answers[b].keys()
        if answers[a][key].expert_digest == answers[b][key].expert_digest
    }
    after, before = ({key: answers[label][key] for key in shared} for label in (b, a))
    return accuracy_difference(after, before, {"from": a, "to": b})


def _pair(runs: Mapping[str, RunData], a: str, b: str, warnings: list[str]) -> dict[str, Any]:
    """The trained model of b minus that of a, on the steps with the same key and the same expert action."""
    rows = {label: _trained_rows(runs[label]) for label in (a, b)}
    common = rows[a].keys() & rows[b].keys()
    shared = {key for key in common if rows[a][key].expert_digest == rows[b][key].expert_digest}
    widest = max(len(rows[a]), len(rows[b]))
    if widest and not shared:
        warnings.append(f"{a} and {b} share no held-out step: their figures are not comparable")
    elif len(shared) < widest:
        warnings.append(
            f"{a} and {b} share {len(shared)} of {widest} held-out steps; only those are compared"
        )
    after, before = ({key: rows[label][key] for key in shared} for label in (b, a))
    measured = [measured_names(runs[label], [some]) for label, some in ((a, before), (b, after))]
    names = [name for name in measured[0] if name in measured[1]]
    rewards = {
        name: difference_of(values_of(runs[b], after, name), values_of(runs[a], before, name))
        for name in names
    }
    same = runs[a].trained_on == runs[b].trained_on
    reward = runs[a].trained_on if same else next((n for n in ("structured", *names) if n in names), None)
    nothing = difference_of({}, {})
    return {"from": a, "to": b, "reward": reward, **rewards.get(reward or "", nothing), "rewards": rewards}


def _differing_settings(configs: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Dotted key -> label -> value, for the settings that are not the same in all the runs."""
    flat = {label: dict(_flatten(_load(text))) for label, text in configs.items()}
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    table = {key: {label: flat[label].get(key, "–") for label in flat} for key in keys}
    return {key: values for key, values in table.items() if len(set(values.values())) > 1}


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # edited by hand since; the config is shown as text all the same
        return None


def _flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, str(value)
