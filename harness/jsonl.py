"""Read JSON Lines that a kill may have cut off, and fix them before more is appended."""

import json
from pathlib import Path
from typing import Any

from harness.cli import UserError


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Lines of a file, none if it is not there; a last line that a kill cut off is left out. Raises UserError."""
    if not path.exists():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(f"{path}:{number}: not JSON: {error}") from error
    return rows


def fix_last_line(path: Path) -> None:
    """Drop a last line without its end, as a kill leaves it, so that what is appended starts a new one."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)
