"""The figures of several runs side by side. Pure: no I/O."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from harness.cli import UserError
from harness.reporting.accuracy import accuracy_difference
from harness.reporting.data import Evaluation, Results, RunData, config_table
from harness.reporting.measures import difference_of, measured_names, trained_stage, values_of
from harness.reporting.numbers import SCHEMA_VERSION, chosen_evaluations, report_numbers
from harness.reporting.schema import ComparisonReport, RunDifference


def comparison_numbers(runs: Sequence[RunData]) -> ComparisonReport:
    """Return report.json of a comparison: each run's own figures, and each pair of runs on the steps they share."""
    by_label = dict(zip(run_labels(runs), runs, strict=True))
    pairs = list(combinations(by_label, 2))
    warnings: list[str] = []
    answers = {label: _of_trained_stage(run, run.outcomes) for label, run in by_label.items()}
    differences = [_pair(by_label, a, b, warnings) for a, b in pairs]
    accuracies = [
        accuracy_difference(*_shared(answers[a], answers[b]), {"from": a, "to": b})
        for a, b in (pairs if all(answers.values()) else ())
    ]
    rewards = {run.trained_on for run in runs}
    if len(rewards) > 1:
        warnings.append(f"the runs were trained on different rewards ({', '.join(sorted(rewards))})")
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": {label: report_numbers(run) for label, run in by_label.items()},
        "differences": differences,
        "accuracy_differences": accuracies,
        "settings": _differing_settings({label: run.config for label, run in by_label.items()}),
        "warnings": warnings,
    }


def run_labels(runs: Sequence[RunData]) -> list[str]:
    """Return the runs' names, or their folders where two names are the same. Raises UserError for a duplicate run."""
    names = [run.name for run in runs]
    labels = [n if names.count(n) == 1 else str(run.folder) for n, run in zip(names, runs, strict=True)]
    if len(set(labels)) < len(labels):
        raise UserError(f"{max(labels, key=labels.count)}: the same run is given twice")
    return labels


def _of_trained_stage(run: RunData, evaluations: Mapping[Evaluation, Results]) -> Results:
    chosen = chosen_evaluations(run, [])
    trained = trained_stage(chosen)
    return evaluations.get(chosen[trained], {}) if trained else {}


def _shared(first: Results, second: Results) -> tuple[Results, Results]:
    """Return the results with the same key and the same expert action (or right answer)."""
    common = first.keys() & second.keys()
    keys = {key for key in common if first[key].expert_digest == second[key].expert_digest}
    return {key: first[key] for key in keys}, {key: second[key] for key in keys}


def _pair(runs: Mapping[str, RunData], a: str, b: str, warnings: list[str]) -> RunDifference:
    """Return the trained model of b minus that of a."""
    results = {label: _of_trained_stage(runs[label], runs[label].validation) for label in (a, b)}
    before, after = _shared(results[a], results[b])
    widest = max(map(len, results.values()))
    if widest and not before:
        warnings.append(f"{a} and {b} share no held-out step: their figures are not comparable")
    elif len(before) < widest:
        shared = f"{len(before)} of {widest} held-out steps"
        warnings.append(f"{a} and {b} share {shared}; only those are compared")
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
    """Return dotted key -> label -> value, for the settings that differ between runs."""
    flat = {label: dict(_flatten(config_table(text))) for label, text in configs.items()}
    keys = list(dict.fromkeys(key for settings in flat.values() for key in settings))
    table = {key: {label: flat[label].get(key, "–") for label in flat} for key in keys}
    return {key: values for key, values in table.items() if len(set(values.values())) > 1}


def _flatten(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, str(value)
