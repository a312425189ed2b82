"""Small JSON files beside a trajectory that say more about it. Members of archives come one by one and have none."""

import json
from functools import lru_cache
from pathlib import Path

from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject

_LIMIT = 16 * 2**20  # bytes; a larger file is no sidecar


def sidecar(document: Document, up: int, name: str) -> JSONObject:
    """Return the object in the file ``name``, in the folder ``up`` levels above the document's, empty if there is none.

    A document that stands for a folder counts as a file of that name.
    """
    if "!" in document.origin or document.origin.startswith("hf:"):
        return {}
    folders = Path(document.origin).parents
    return object_in(folders[up] / name) if up < len(folders) else {}


@lru_cache(maxsize=64)
def object_in(path: Path) -> JSONObject:
    """Return the JSON object of a file, empty for a file that is missing, too large, or holds anything else."""
    try:
        if path.is_file() and path.stat().st_size <= _LIMIT:
            value: JSON = json.loads(path.read_text(encoding="utf-8"))
            return value if isinstance(value, dict) else {}
    except (OSError, ValueError, RecursionError):
        pass
    return {}
