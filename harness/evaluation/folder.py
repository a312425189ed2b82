"""What an evaluation leaves on disk, line by line, and what a rerun finds there."""

from pathlib import Path

from harness.config.evaluation import EvaluationRecipe
from harness.config.load import validate
from harness.run_folder import RunFolder


class EvaluationFolder(RunFolder):
    """``outputs/<run>/`` of an evaluation."""

    command = "harness.evaluate"

    def evaluation(self) -> EvaluationRecipe:
        """Read the recipe of an existing run. Raises UserError."""
        return validate(EvaluationRecipe, self.saved_table(), str(self.config))

    @property
    def rollouts(self) -> Path:
        """What the policy did, attempt by attempt."""
        return self.path / "rollouts.jsonl"

    @property
    def predictions(self) -> Path:
        """Patches that the policy made."""
        return self.path / "predictions.jsonl"

    @property
    def verdicts(self) -> Path:
        return self.path / "verdicts.jsonl"

    @property
    def attempts(self) -> Path:
        """One line an item: what became of it."""
        return self.path / "attempts.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.json"
