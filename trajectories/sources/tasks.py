"""Tasks by instance id, for logs that do not hold theirs: rows of a data set, or a folder of text files."""

from collections.abc import Iterator
from pathlib import Path

from trajectories.sources.documents import Document, read_documents
from trajectories.sources.paths import is_hub_name
from trajectories.task_ids import task_id
from trajectories.types import JSON

_TEXTS = ("problem_statement", "task", "prompt", "instruction")  # columns, the first that holds a text
_ROWS = (".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".xz", ".bz2")
_TEXT_ENDINGS = (".txt", ".md", ".prompt")


def read_tasks(path: Path) -> dict[str, str]:
    """Read the tasks of a file of rows, or of a folder with one text file a task, named by the instance.

    Rows have ``instance_id`` and ``problem_statement``; a JSON object may map ids to texts or to rows. Raises
    ValueError if there are none, OSError for a path that cannot be read.
    """
    if not path.exists() and not is_hub_name(path):
        raise ValueError(f"{path}: no such file or folder")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    tasks: dict[str, str] = {}
    for file in files:
        found = _tasks_of_rows(file) if file.suffix in _ROWS or not path.is_dir() else _task_of_text(file)
        tasks.update((name, text) for name, text in found if text.strip())
    if not tasks:
        raise ValueError(f"{path} holds no tasks: rows with instance_id and problem_statement, or text files")
    return tasks


def task_for(document: Document, instance_id: str) -> str:
    """Return the task that was given for this instance, for the document or for a folder that it is in.

    >>> log = Document(value=[], origin="runs/acme__widgets-1_0/run.jsonl", tasks={"acme__widgets-1": "It crashes."})
    >>> task_for(log, "run")
    'It crashes.'
    """
    if not document.tasks:
        return ""
    names = (instance_id, document.name, *reversed(document.path.parent.parts))
    candidates = (each for name in names for each in (name, task_id(name)))
    return next((document.tasks[name] for name in candidates if name in document.tasks), "")


def _task_of_text(file: Path) -> Iterator[tuple[str, str]]:
    name = file.name
    for ending in _TEXT_ENDINGS:
        name = name.removesuffix(ending)
    yield name, file.read_text(encoding="utf-8", errors="replace")


def _tasks_of_rows(file: Path) -> Iterator[tuple[str, str]]:
    for item in read_documents(file):
        if isinstance(item, Document):
            yield from _tasks_in(item.value)


def _tasks_in(value: JSON) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for row in value:
            yield from _tasks_in(row)
    elif isinstance(value, dict) and isinstance(value.get("instance_id"), str):
        yield (
            value["instance_id"],
            next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), ""),
        )
    elif isinstance(value, dict):
        for name, row in value.items():
            if isinstance(row, dict):
                yield from _tasks_in({"instance_id": name, **row})
            elif isinstance(row, str):
                yield name, row
