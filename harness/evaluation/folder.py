"""The files of an evaluation, from which a rerun resumes."""

from pathlib import Path

from harness.config.evaluation import EvaluationRecipe
from harness.config.load import validate
from harness.run_folder import RunFolder


class EvaluationFolder(RunFolder):
    """``outputs/<run>/`` of an evaluation."""

    command = "harness.evaluate"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rollouts = path / "rollouts.jsonl"  # what the policy did, written before the attempt is verified
        self.predictions = path / "predictions.jsonl"  # patches of the policy, in SWE-bench's shape
        self.verdicts = path / "verdicts.jsonl"
        self.attempts = path / "attempts.jsonl"  # how each sample of each item ended
        self.report = path / "report.json"

    def evaluation(self) -> EvaluationRecipe:
        """Read the recipe of an existing run. Raises UserError."""
        return validate(EvaluationRecipe, self.saved_table(), str(self.config))
