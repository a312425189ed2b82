"""The folder of a run: every file of it is written here, line by line, so that a crash leaves what was done."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from harness.cli import UserError
from harness.config.load import make_recipe
from harness.config.tables import Recipe, Table
from trajectories.store import atomic_write

SCHEMA_VERSION = 1


class RunFolder:
    """Paths and writers of one run. Only the main process writes (``writes``)."""

    command = "harness.train"  # that makes such folders and goes on with them

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        self.path = path
        self.writes = writes

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.jsonl"

    @property
    def validation(self) -> Path:
        return self.path / "validation.jsonl"

    @property
    def outcomes(self) -> Path:
        """Answers to the held-out tasks, and their verdicts; the fields are those of ``validation``."""
        return self.path / "outcomes.jsonl"

    @property
    def baselines(self) -> Path:
        """What policies without a model score on the held-out steps."""
        return self.path / "baselines.jsonl"

    def stage_dir(self, stage: str) -> Path:
        """Checkpoints of a stage."""
        return self.path / "checkpoints" / stage

    def best(self, stage: str) -> Path:
        """What the stage ended with: written last, so a stage without it is not finished."""
        return self.stage_dir(stage) / "best.json"

    def ended_with(self, stage: str) -> dict[str, Any] | None:
        """What best.json says, None without one. Checkpoints stand in this folder, wherever it was moved since."""
        if not self.best(stage).exists():
            return None
        best: dict[str, Any] = json.loads(self.best(stage).read_text(encoding="utf-8"))
        if best["checkpoint"] is not None:
            best["checkpoint"] = str(self.stage_dir(stage) / Path(best["checkpoint"]).name)
        return best

    def create(self, recipe: Table) -> None:
        """Make the folder. Raises UserError if a run is there already."""
        if self.config.exists():
            raise UserError(
                f"{self.path} holds a run already: go on with it by `python -m {self.command} --resume {self.path}`, "
                "or give this one another name (name=…)"
            )
        if self.writes:
            self.write_yaml(self.config, recipe.model_dump(mode="json"))

    def recipe(self) -> Recipe:
        """The recipe of an existing training run. Raises UserError."""
        return make_recipe(self.saved_table(), str(self.config))

    def saved_table(self) -> Any:
        """The recipe of an existing run, not validated. Raises UserError."""
        if not self.config.exists():
            raise UserError(f"{self.path}: no run to resume here (config.yaml is missing)", exit_code=2)
        return yaml.safe_load(self.config.read_text(encoding="utf-8"))

    def write_yaml(self, path: Path, table: Mapping[str, Any]) -> None:
        with atomic_write(path) as out:
            yaml.safe_dump(dict(table), out, sort_keys=False, allow_unicode=True)

    def write_json(self, path: Path, table: Mapping[str, Any]) -> None:
        if self.writes:
            with atomic_write(path) as out:
                json.dump(table, out, indent=2, ensure_ascii=False)
                out.write("\n")

    def write_rows(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """A whole file of lines."""
        if self.writes:
            with atomic_write(path) as out:
                out.writelines(json.dumps(row) + "\n" for row in rows)

    def update_manifest(self, **entries: Any) -> None:
        """Add entries to manifest.json."""
        known = json.loads(self.manifest.read_text(encoding="utf-8")) if self.manifest.exists() else {}
        self.write_json(self.manifest, {"schema_version": SCHEMA_VERSION, **known, **entries})

    def append(self, path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append lines; they are on their way to the disk when this returns."""
        if not self.writes:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as out:
            for row in rows:
                out.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")

    def forget_after(self, stage: str, step: int) -> None:
        """Drop the lines that an interrupted run wrote beyond the step that it is resumed from.

        Lines of a step are made again by the resumed run. A torn last line goes too.
        """
        if not self.writes:
            return
        for path in (self.metrics, self.samples, self.validation, self.outcomes):
            if not path.exists():
                continue
            with path.open(encoding="utf-8") as lines, atomic_write(path) as out:
                for line in lines:
                    try:
                        row = json.loads(line)
                    except ValueError:
                        continue
                    if row["stage"] != stage or row["step"] <= step:
                        out.write(line)


def now() -> str:
    """UTC, ISO 8601, seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")
