"""The folder of a run: its files, written row by row so that a crash keeps what was done."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from harness.cli import UsageError, UserError
from harness.config.load import as_yaml, validate
from harness.config.tables import Recipe, Table
from harness.config.yaml_text import read_yaml
from harness.jsonl import append_rows, read_objects, write_json
from trajectories.store import atomic_write
from trajectories.types import JSON

SCHEMA_VERSION = 1


class RunFolder:
    """Paths and writers of one run. Only the main process writes (``writes``)."""

    command = "harness.train"  # makes and resumes such folders

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes
        self.config = path / "config.yaml"
        self.manifest = path / "manifest.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples.jsonl"
        self.validation = path / "validation.jsonl"
        self.outcomes = path / "outcomes.jsonl"  # answers to the validation tasks with their verdicts
        self.baselines = path / "baselines.jsonl"  # scores of trivial policies on the validation steps

    def stage_dir(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints."""
        return self.path / "checkpoints" / stage

    def best(self, stage: str) -> Path:
        """Return the path of the stage's result: written last, so a stage without it is not finished."""
        return self.stage_dir(stage) / "best.json"

    def ended_with(self, stage: str) -> dict[str, JSON] | None:
        """Read best.json, None without one. Its checkpoint is in this folder, also after the folder was moved."""
        if not self.best(stage).exists():
            return None
        best: dict[str, JSON] = json.loads(self.best(stage).read_text(encoding="utf-8"))
        if best["checkpoint"] is not None:
            best["checkpoint"] = str(self.stage_dir(stage) / Path(best["checkpoint"]).name)
        return best

    def create(self, recipe: Table) -> None:
        """Create the folder. Raises UserError if it already contains a run."""
        if self.config.exists():
            raise UserError(
                f"{self.path} already contains a run; resume it with `python -m {self.command} --resume {self.path}`, "
                "or give this run another name (name=…)"
            )
        if self.writes:
            with atomic_write(self.config) as out:
                out.write(as_yaml(recipe))

    def recipe(self) -> Recipe:
        """Read the recipe of an existing training run. Raises UserError."""
        return validate(Recipe, self.saved_table(), str(self.config))

    def saved_table(self) -> JSON:
        """Read the recipe of an existing run without validating it. Raises UserError."""
        if not self.config.exists():
            raise UsageError(f"{self.path}: no run to resume here (config.yaml is missing)")
        return read_yaml(self.config.read_text(encoding="utf-8"))

    def write_json(self, path: Path, table: Mapping[str, object]) -> None:
        if self.writes:
            write_json(path, table)

    def write_rows(self, path: Path, rows: Iterable[Mapping[str, object]]) -> None:
        """Write a whole JSON Lines file."""
        if self.writes:
            with atomic_write(path) as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)

    def read_manifest(self) -> dict[str, JSON]:
        """Return the content of manifest.json, empty if there is none yet."""
        return json.loads(self.manifest.read_text(encoding="utf-8")) if self.manifest.exists() else {}

    def update_manifest(self, **entries: object) -> None:
        """Add entries to manifest.json."""
        self.write_json(self.manifest, {"schema_version": SCHEMA_VERSION, **self.read_manifest(), **entries})

    def append(self, path: Path, rows: Iterable[Mapping[str, object]]) -> None:
        """Append rows to a JSON Lines file."""
        if self.writes:
            append_rows(path, rows)

    def forget_after(self, stage: str, step: int) -> None:
        """Drop the rows of a stage beyond the step that it is resumed from: the resumed run makes them again.

        Drops a torn last line too. Raises UserError.
        """
        for path in (self.metrics, self.samples, self.validation, self.outcomes):
            if path.exists():
                rows = (line.fields for line in read_objects(path))
                self.write_rows(path, (row for row in rows if row["stage"] != stage or row["step"] <= step))


def now() -> str:
    """Return the time in UTC, as ISO 8601 with seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
