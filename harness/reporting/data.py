"""Reads a run's folder. Streams: of the big files only numbers and line offsets stay in memory."""

import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import yaml

from harness.cli import UserError
from harness.config.stages import RL
from harness.statistics.bootstrap import StepKey
from srl_agent.rewards import WeightedRewards

Evaluation = tuple[str, int]  # (stage, training step)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutRow:
    """A held-out step: the means over its lines in validation.jsonl, one for each sample, without their texts."""

    kind: str
    reward: float | None  # of the judged samples
    parts: Mapping[str, float | None]  # reward by name
    well_formed: float  # share of the samples, as what follows
    exact_match: float
    clipped: float | None  # cut at the longest length allowed; None: an older run does not say
    rewards_if_well_formed: tuple[float, ...]  # of the judged samples
    samples: int
    unjudged: int  # of the samples
    expert_digest: int  # tells steps apart that only share trajectory and index
    offset: int  # of the first sample's line in the file


@dataclass(frozen=True, kw_only=True, slots=True)
class BaselineRow:
    """A line of baselines.jsonl."""

    kind: str
    reward: float | None
    parts: Mapping[str, float | None]
    action: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupRow:
    """A line of samples.jsonl without its texts."""

    completions: int
    format_failures: int
    unjudged: int
    clipped: int | None  # None: an older run does not say
    spread: float | None
    reason: str | None  # why it was dropped; None: kept
    offset: int


@dataclass(frozen=True, kw_only=True)
class RunData:
    """What a run's folder holds, as far as it got."""

    folder: Path
    manifest: Mapping[str, Any]
    config: str  # as written; empty without a config.yaml
    training: Mapping[str, Mapping[int, Mapping[str, Any]]]  # stage -> step -> the metrics line
    held_out: Mapping[Evaluation, Mapping[StepKey, HeldOutRow]]  # in the order of the evaluations
    outcomes: Mapping[Evaluation, Mapping[StepKey, HeldOutRow]]  # of verified tasks; empty without any
    groups: Mapping[str, Mapping[int, tuple[GroupRow, ...]]]  # stage -> step -> groups
    trained_on: str  # the reward, as one name
    validation: Mapping[str, float]  # temperature and samples of the held-out completions
    baselines: Mapping[str, Mapping[StepKey, BaselineRow]]  # by policy
    floor: (
        Mapping[str, Mapping[str, Any]] | None
    )  # floor.json, of runs before baselines.jsonl: figures by policy
    best_steps: Mapping[str, int | None]  # of checkpoints/<stage>/best.json; None: nothing beat the start
    warnings: tuple[str, ...]

    @property
    def evaluations(self) -> Mapping[Evaluation, Mapping[StepKey, HeldOutRow]]:
        """Those of steps, or of verified tasks in a run that measures these alone."""
        return self.held_out or self.outcomes

    @property
    def name(self) -> str:
        return str(self.manifest.get("run_name") or self.folder.resolve().name)

    def read_line(self, file: str, offset: int) -> dict[str, Any]:
        """A line again, with its texts."""
        with (self.folder / file).open("rb") as lines:
            lines.seek(offset)
            row: dict[str, Any] = json.loads(lines.readline())
        return as_step(row)


def as_step(fields: dict[str, Any]) -> dict[str, Any]:
    """Return a line about a verified task in the columns of a step; other lines as they are.

    Runs of version 0.1 wrote such lines in a step's columns.
    """
    if "task_id" not in fields:
        return fields
    task = {"trajectory_id": fields["task_id"], "step_index": 0, "kind": "answer", "rewards": {}}
    return {
        **task,
        "expert_action": fields["reference"],
        "exact_match": fields.get("solved") is True,
        **fields,
    }


def read_run(folder: Path) -> RunData:
    """Raises UserError for a folder that is not a run, and for a broken line, with file and line."""
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
    _check_version(manifest, manifest_path)
    config = _read_config(folder / "config.yaml", warnings)
    samples = folder / "samples.jsonl"
    sampled = samples.exists() or not set(RL).isdisjoint(manifest.get("stages", ("srl",)))
    measured = folder / "validation.jsonl"
    verified = folder / "outcomes.jsonl"
    return RunData(
        folder=folder,
        manifest=manifest,
        config=config,
        training=_read_metrics(folder / "metrics.jsonl", warnings),
        held_out=_read_held_out(measured, warnings) if measured.exists() or not verified.exists() else {},
        outcomes=_read_held_out(verified, warnings) if verified.exists() else {},
        groups=_read_groups(samples, warnings) if sampled else {},
        trained_on=_trained_on(config),
        validation=_validation(config),
        baselines=_read_baselines(folder / "baselines.jsonl", warnings),
        floor=_read_floor(folder / "floor.json"),
        best_steps=_read_best_steps(folder / "checkpoints"),
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, kw_only=True)
class _Line:
    """A parsed line that knows where it stands, so that a wrong field can be named."""

    place: str  # file:line
    offset: int
    fields: Mapping[str, Any]

    def get(self, key: str, convert: Callable[[Any], T]) -> T:
        if key not in self.fields:
            raise UserError(f"{self.place}: the line lacks {key!r}")
        try:
            return convert(self.fields[key])
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{self.place}: {key!r} is {self.fields[key]!r:.80}: {error}") from error


def _lines(path: Path, warnings: list[str]) -> Iterator[_Line]:
    """The objects of a JSONL file; a missing file and a last line cut off in the middle are only warnings."""
    if not path.exists():
        warnings.append(f"{path.name} is not there (yet)")
        return
    with path.open("rb") as lines:
        offset = 0
        for number, raw in enumerate(lines, 1):
            start, offset = offset, offset + len(raw)
            if not raw.strip():
                continue
            place = f"{path}:{number}"
            try:
                fields = json.loads(raw)
            except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
                if not raw.endswith(b"\n"):
                    warnings.append(
                        f"the last line of {path.name} ({number}) is cut off and was left out: "
                        "the run was killed, or is still writing"
                    )
                    return
                raise UserError(f"{place}: not JSON: {error}") from error
            if not isinstance(fields, dict):
                raise UserError(f"{place}: not a JSON object but {type(fields).__name__}")
            yield _Line(place=place, offset=start, fields=as_step(fields))


def _read_metrics(path: Path, warnings: list[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Training lines by stage and step. A step that a resumed run did again counts as it came out last."""
    training: dict[str, dict[int, dict[str, Any]]] = {}
    for line in _lines(path, warnings):
        stage, step = line.get("stage", _text), line.get("step", int)
        if line.get("kind", _text) == "train":
            numbers = {key: number_or_none(value) for key, value in line.fields.items()}
            training.setdefault(stage, {}).setdefault(step, {}).update(numbers)
    return {stage: dict(sorted(steps.items())) for stage, steps in training.items()}


def _read_held_out(path: Path, warnings: list[str]) -> dict[Evaluation, dict[StepKey, HeldOutRow]]:
    """A sample that a resumed run took again counts as it came out last."""
    evaluations: dict[Evaluation, dict[StepKey, dict[int, HeldOutRow]]] = {}
    for line in _lines(path, warnings):
        evaluation = (line.get("stage", _text), line.get("step", int))
        key = (line.get("trajectory_id", _text), line.get("step_index", int))
        sample = line.get("sample", int) if "sample" in line.fields else 0
        reward = line.get("reward", number_or_none)
        well_formed = line.get("format_error", lambda error: error is None)
        evaluations.setdefault(evaluation, {}).setdefault(key, {})[sample] = HeldOutRow(
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
        evaluation: {key: _mean_row([samples[n] for n in sorted(samples)]) for key, samples in steps.items()}
        for evaluation, steps in evaluations.items()
    }


def _mean_row(samples: Sequence[HeldOutRow]) -> HeldOutRow:
    return replace(
        samples[0],
        reward=mean_or_none(row.reward for row in samples),
        parts={name: mean_or_none(row.parts.get(name) for row in samples) for name in samples[0].parts},
        well_formed=fmean(row.well_formed for row in samples),
        exact_match=fmean(row.exact_match for row in samples),
        clipped=mean_or_none(row.clipped for row in samples),
        rewards_if_well_formed=tuple(reward for row in samples for reward in row.rewards_if_well_formed),
        samples=len(samples),
        unjudged=sum(row.unjudged for row in samples),
    )


def _read_baselines(path: Path, warnings: list[str]) -> dict[str, dict[StepKey, BaselineRow]]:
    policies: dict[str, dict[StepKey, BaselineRow]] = {}
    for line in _lines(path, warnings) if path.exists() else ():
        key = (line.get("trajectory_id", _text), line.get("step_index", int))
        policies.setdefault(line.get("policy", _text), {})[key] = BaselineRow(
            kind=line.get("kind", _text),
            reward=line.get("reward", number_or_none),
            parts=line.get("rewards", _numbers),
            action=line.get("action", _text),
        )
    return policies


def _read_floor(path: Path) -> dict[str, dict[str, Any]] | None:
    if not path.exists():
        return None
    try:
        return {
            name: {**policy, "mean": float(policy["mean"])}
            for name, policy in _read_object(path)["policies"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: no usable 'policies' ({error!r})") from error


def _trained_on(config: str) -> str:
    """The label of the recipe's rewards, as ``WeightedRewards`` has it."""
    try:
        table = yaml.safe_load(config) or {}
        weights = {str(reward["name"]): float(reward.get("weight", 1.0)) for reward in table["rewards"]}
    except (yaml.YAMLError, KeyError, TypeError, ValueError):  # edited by hand since
        return "reward"
    return WeightedRewards(functions={}, weights=weights).label


def _validation(config: str) -> dict[str, float]:
    settings = {"temperature": 0.0, "samples": 1}
    try:
        table = (yaml.safe_load(config) or {}).get("validation") or {}
        return {name: type(default)(table.get(name, default)) for name, default in settings.items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):  # edited by hand since
        return settings


def _read_groups(path: Path, warnings: list[str]) -> dict[str, dict[int, tuple[GroupRow, ...]]]:
    """Groups by stage and step. A run resumed from an earlier step samples the later ones anew: they replace
    what was sampled before the kill."""
    stages: dict[str, dict[int, list[GroupRow]]] = {}
    latest: dict[str, int] = {}
    for line in _lines(path, warnings):
        stage, step = line.get("stage", _text), line.get("step", int)
        steps = stages.setdefault(stage, {})
        if step < latest.get(stage, step):
            for later in [s for s in steps if s >= step]:
                del steps[later]
        latest[stage] = step
        steps.setdefault(step, []).append(_group(line))
    return {s: {step: tuple(rows) for step, rows in steps.items()} for s, steps in stages.items()}


def _group(line: _Line) -> GroupRow:
    completions = line.get("completions", list)
    kept = line.get("kept", bool)
    try:
        failures = sum(completion["format_error"] is not None for completion in completions)
        unjudged = sum(number_or_none(completion["reward"]) is None for completion in completions)
        says = all("clipped" in completion for completion in completions)
        clipped = sum(bool(completion["clipped"]) for completion in completions) if says else None
    except (KeyError, TypeError) as error:
        raise UserError(f"{line.place}: a completion lacks {error}") from error
    return GroupRow(
        completions=len(completions),
        format_failures=failures,
        unjudged=unjudged,
        clipped=clipped,
        spread=number_or_none(line.fields.get("reward_std")),
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


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes(), parse_constant=lambda _: None)  # NaN, Infinity
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object but {type(value).__name__}")
    return value


def _check_version(manifest: Mapping[str, Any], path: Path) -> None:
    if manifest.get("schema_version") != 1:
        raise UserError(
            f"{path}: schema_version is {manifest.get('schema_version')!r}, this release reads 1: "
            "make the report with the release that made the run"
        )


def number_or_none(value: Any) -> float | None:
    """A finite number, or None for everything else (NaN is what some loggers write for an unjudged reward)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def completions_of(rows: Mapping[StepKey, HeldOutRow]) -> int:
    """How many completions an evaluation has: one that was cut off has fewer than the others."""
    return sum(row.samples for row in rows.values())


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """The mean of what is judged; None if nothing is."""
    judged = [value for value in values if value is not None]
    return fmean(judged) if judged else None


def _numbers(parts: Any) -> dict[str, float | None]:
    return {name: number_or_none(value) for name, value in parts.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
