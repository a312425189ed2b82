"""Read a run's folder. Large files are streamed: only numbers and line offsets are kept."""

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from harness.cli import UserError, user_errors
from harness.config.stages import RL
from harness.jsonl import JsonLine, read_objects
from harness.reporting import data
from harness.statistics.bootstrap import StepKey
from srl_agent.rewards import WeightedRewards
from trajectories.types import JSON


def read_run(folder: Path) -> data.RunData:
    """Read a run. Raises UserError for a folder that is not a run, and for a broken line, naming file and line."""
    manifest_path = folder / "manifest.json"
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder}: {what}; give the folder of a run, as `python -m harness.train` prints it")
    if not manifest_path.is_file():
        raise UserError(
            f"{folder}: not the folder of a run (no manifest.json); "
            "give one that `python -m harness.train` wrote, such as outputs/<run>"
        )
    warnings: list[str] = []
    manifest = _read_object(manifest_path)
    if manifest.get("schema_version") != 1:
        raise UserError(
            f"{manifest_path}: schema_version is {manifest.get('schema_version')!r}, this release reads 1: "
            "make the report with the release that made the run"
        )
    config = _read_config(folder / "config.yaml", warnings)
    samples = folder / "samples.jsonl"
    sampled = samples.exists() or not set(RL).isdisjoint(manifest.get("stages", ("srl",)))
    measured = folder / "validation.jsonl"
    verified = folder / "outcomes.jsonl"
    return data.RunData(
        folder=folder,
        manifest=manifest,
        config=config,
        training=_read_metrics(folder / "metrics.jsonl", warnings),
        validation=_read_results(measured, warnings) if measured.exists() or not verified.exists() else {},
        outcomes=_read_results(verified, warnings) if verified.exists() else {},
        groups=_read_groups(samples, warnings) if sampled else {},
        trained_on=_trained_on(config),
        validation_settings=_validation_settings(config),
        baselines=_read_baselines(folder / "baselines.jsonl", warnings),
        baseline_means=_read_baseline_means(folder / "floor.json"),
        best_steps=_read_best_steps(folder / "checkpoints"),
        warnings=tuple(warnings),
    )


def _lines(path: Path, warnings: list[str]) -> Iterator[JsonLine]:
    """Yield the objects of a JSONL file; a missing file and a torn last line are only warnings."""
    if not path.exists():
        warnings.append(f"{path.name} is not there (yet)")

    def warn(number: int) -> None:
        warnings.append(
            f"the last line of {path.name} ({number}) is cut off and was left out: "
            "the run was killed, or is still writing"
        )

    for line in read_objects(path, on_torn_line=warn):
        yield replace(line, fields=data.as_step(line.fields)) if "task_id" in line.fields else line


def _read_metrics(path: Path, warnings: list[str]) -> dict[str, dict[int, dict[str, float | None]]]:
    """Return the training metrics by stage and step; the last line of a step counts (a resumed run repeats some)."""
    training: dict[str, dict[int, dict[str, float | None]]] = {}
    for line in _lines(path, warnings):
        stage, step = line.get("stage", _text), line.get("step", int)
        if line.get("kind", _text) == "train":
            numbers = {key: data.number_or_none(value) for key, value in line.fields.items()}
            training.setdefault(stage, {}).setdefault(step, {}).update(numbers)
    return {stage: dict(sorted(steps.items())) for stage, steps in training.items()}


def _read_results(path: Path, warnings: list[str]) -> dict[data.Evaluation, dict[StepKey, data.StepResult]]:
    """Return the results by evaluation and step; the last line of a sample counts (a resumed run repeats some)."""
    evaluations: dict[data.Evaluation, dict[StepKey, dict[int, data.StepResult]]] = {}
    for line in _lines(path, warnings):
        evaluation = (line.get("stage", _text), line.get("step", int))
        sample = line.get("sample", int) if "sample" in line.fields else 0
        reward = line.get("reward", data.number_or_none)
        well_formed = line.get("format_error", lambda error: error is None)
        evaluations.setdefault(evaluation, {}).setdefault(_step_key(line), {})[sample] = data.StepResult(
            kind=line.get("kind", _text),
            reward=reward,
            parts=line.get("rewards", _numbers),
            well_formed=well_formed,
            exact_match=line.get("exact_match", bool),
            clipped=line.get("clipped", bool) if "clipped" in line.fields else None,
            rewards_if_well_formed=(reward,) if well_formed and reward is not None else (),
            samples=1,
            unjudged=int(reward is None),
            expert_digest=line.get("expert_action", lambda text: zlib.crc32(text.encode("utf-8", "replace"))),
            offset=line.offset,
        )
    return {
        evaluation: {key: _mean_of([samples[n] for n in sorted(samples)]) for key, samples in steps.items()}
        for evaluation, steps in evaluations.items()
    }


def _mean_of(samples: Sequence[data.StepResult]) -> data.StepResult:
    return replace(
        samples[0],
        reward=data.mean_or_none(result.reward for result in samples),
        parts={name: data.mean_or_none(one.parts.get(name) for one in samples) for name in samples[0].parts},
        well_formed=fmean(result.well_formed for result in samples),
        exact_match=fmean(result.exact_match for result in samples),
        clipped=data.mean_or_none(result.clipped for result in samples),
        rewards_if_well_formed=tuple(reward for one in samples for reward in one.rewards_if_well_formed),
        samples=len(samples),
        unjudged=sum(result.unjudged for result in samples),
    )


def _read_baselines(path: Path, warnings: list[str]) -> dict[str, dict[StepKey, data.BaselineResult]]:
    policies: dict[str, dict[StepKey, data.BaselineResult]] = {}
    for line in _lines(path, warnings) if path.exists() else ():
        policies.setdefault(line.get("policy", _text), {})[_step_key(line)] = data.BaselineResult(
            kind=line.get("kind", _text),
            reward=line.get("reward", data.number_or_none),
            parts=line.get("rewards", _numbers),
            action=line.get("action", _text),
        )
    return policies


def _read_baseline_means(path: Path) -> dict[str, dict[str, JSON]] | None:
    """Read floor.json, which runs before baselines.jsonl have in its place."""
    if not path.exists():
        return None
    try:
        policies = _read_object(path)["policies"].items()
        return {name: {**policy, "mean": float(policy["mean"])} for name, policy in policies}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: no usable 'policies' ({error!r})") from error


def _trained_on(config: str) -> str:
    """Return the label of the recipe's rewards, as ``WeightedRewards`` has it."""
    try:
        rewards = data.config_table(config)["rewards"]
        weights = {
            str(reward.get("label") or reward["name"]): float(reward.get("weight", 1.0)) for reward in rewards
        }
    except (KeyError, TypeError, ValueError, AttributeError):  # edited by hand since
        return "reward"
    return WeightedRewards(functions={}, weights=weights).label


def _validation_settings(config: str) -> dict[str, float]:
    settings = {"temperature": 0.0, "samples": 1}
    try:
        table = data.config_table(config).get("validation") or {}
        return {name: type(default)(table.get(name, default)) for name, default in settings.items()}
    except (AttributeError, TypeError, ValueError):  # edited by hand since
        return settings


def _read_groups(path: Path, warnings: list[str]) -> dict[str, dict[int, tuple[data.SampledGroup, ...]]]:
    """Return the groups by stage and step.

    A resumed run repeats the steps after its checkpoint: their groups replace those sampled before the kill.
    """
    stages: dict[str, dict[int, list[data.SampledGroup]]] = {}
    latest: dict[str, int] = {}
    for line in _lines(path, warnings):
        stage, step = line.get("stage", _text), line.get("step", int)
        steps = stages.setdefault(stage, {})
        if step < latest.get(stage, step):
            for later in [s for s in steps if s >= step]:
                del steps[later]
        latest[stage] = step
        steps.setdefault(step, []).append(_group(line))
    return {stage: {step: tuple(groups) for step, groups in steps.items()} for stage, steps in stages.items()}


def _group(line: JsonLine) -> data.SampledGroup:
    completions = line.get("completions", list)
    kept = line.get("kept", bool)
    try:
        failures = sum(completion["format_error"] is not None for completion in completions)
        unjudged = sum(data.number_or_none(completion["reward"]) is None for completion in completions)
        recorded = all("clipped" in completion for completion in completions)
        clipped = sum(bool(completion["clipped"]) for completion in completions) if recorded else None
    except (KeyError, TypeError) as error:
        raise UserError(f"{line.where}: a completion lacks {error}") from error
    return data.SampledGroup(
        completions=len(completions),
        format_failures=failures,
        unjudged=unjudged,
        clipped=clipped,
        spread=data.number_or_none(line.fields.get("reward_std")),
        reason=None if kept else str(line.fields.get("reason") or "no reason given"),
        offset=line.offset,
    )


def _read_best_steps(checkpoints: Path) -> dict[str, int | None]:
    best: dict[str, int | None] = {}
    for path in sorted(checkpoints.glob("*/best.json")):
        try:
            written = _read_object(path)
            best[path.parent.name] = None if written["checkpoint"] is None else int(written["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: no usable 'checkpoint' and 'step' ({error!r})") from error
    return best


def _read_config(path: Path, warnings: list[str]) -> str:
    if not path.exists():
        warnings.append("config.yaml is not there")
        return ""
    return path.read_text(encoding="utf-8", errors="backslashreplace")


def _read_object(path: Path) -> dict[str, JSON]:
    with user_errors(ValueError, about=f"{path}: not JSON"):
        value = json.loads(path.read_bytes(), parse_constant=lambda _: None)  # NaN, Infinity
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object but {type(value).__name__}")
    return value


def _step_key(line: JsonLine) -> StepKey:
    return line.get("trajectory_id", _text), line.get("step_index", int)


def _numbers(parts: dict[str, JSON]) -> dict[str, float | None]:
    return {name: data.number_or_none(value) for name, value in parts.items()}


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
