"""The files of an evaluation, from which a rerun resumes."""

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
        """What the policy did in each attempt, written before the attempt is verified."""
        return self.path / "rollouts.jsonl"

    @property
    def predictions(self) -> Path:
        """Patches of the policy, in SWE-bench's shape."""
        return self.path / "predictions.jsonl"

    @property
    def verdicts(self) -> Path:
        return self.path / "verdicts.jsonl"

    @property
    def attempts(self) -> Path:
        """How each sample of each item ended."""
        return self.path / "attempts.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.json"
