"""The embedded math problems: 300 of eight families, each with its solution in steps.

``problems.jsonl`` is made by ``python -m harness.demo.math.generate``.
"""

from pathlib import Path


def problems_path() -> Path:
    """The problems, one a line: ``id``, ``question``, ``solution``, ``answer``, ``family``."""
    return Path(__file__).parent / "problems.jsonl"
