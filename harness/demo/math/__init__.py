"""The embedded math problems: 300 of eight families, each with its solution in steps.

Both files are made by ``python -m harness.demo.math.generate``.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent


def problems_path() -> Path:
    """Return the file of problems: ``id``, ``question``, ``solution``, ``answer``, ``family``, ``correct``."""
    return _FOLDER / "problems.jsonl"


def solved_path() -> Path:
    """Return the file of the same problems in our store's format, with solutions in steps."""
    return _FOLDER / "solved.jsonl"
