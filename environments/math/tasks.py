"""Math problems of the published benchmarks, from the hub or a file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from environments.math.answers import last_box
from environments.rows import Located, Row, file_rows, hub_rows, is_hub_name, split_hub_name


class MathTaskError(ValueError):
    """Problems that cannot be loaded; the message says which, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class MathTask:
    """One problem and its answer."""

    instance_id: str  # source and the row's id or 0-based index: aime24-60
    problem: str
    answer: str
    source: str  # a benchmark, a hub name without its owner, or a file's stem


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A published set of problems."""

    hub_name: str
    problems: int  # in its split
    split: str = "test"
    config: str | None = None


BENCHMARKS: Mapping[str, Benchmark] = {
    "amc23": Benchmark(hub_name="math-ai/amc23", problems=40),
    "aime24": Benchmark(hub_name="math-ai/aime24", problems=30),
    "aime25": Benchmark(hub_name="math-ai/aime25", problems=30),
    "math500": Benchmark(hub_name="HuggingFaceH4/MATH-500", problems=500),
    "gsm8k": Benchmark(hub_name="openai/gsm8k", problems=1319, config="main"),
    "minerva": Benchmark(hub_name="math-ai/minervamath", problems=272),
}

# The publishers' column names, by preference.
_PROBLEM = ("problem", "question", "Problem")
_ANSWER = ("answer", "Answer", "final_answer")
_ID = ("id", "idx")


def load_math_tasks(source: str, *, split: str = "test", path: str | None = None) -> tuple[MathTask, ...]:
    """Load the problems of a benchmark, a data set on the hub (owner/name), or a local file.

    Files are as for :func:`environments.swe.tasks.load_tasks`; ``path`` is a local copy of the benchmark ``source``.
    The answer is the row's own, in GSM8K the text after "####", and for rows without one (Minerva, the hub's
    AIME 2024) the last ``\\boxed`` of the solution. Raises MathTaskError, also if a benchmark is incomplete.
    """
    benchmark = BENCHMARKS.get(source)
    if path is not None or not (benchmark or is_hub_name(source)):
        file = Path(path or source).expanduser()
        rows = file_rows(file, names=BENCHMARKS, error=MathTaskError)
        name = source if path is not None else file.name.partition(".")[0]
    else:
        hub_name, config = (benchmark.hub_name, benchmark.config) if benchmark else (source, None)
        rows = hub_rows(hub_name, split, config=config, error=MathTaskError)
        name = split_hub_name(source)[0].rpartition("/")[2]
    tasks = tuple(_tasks(rows, name))
    if benchmark and split == benchmark.split and len(tasks) != benchmark.problems:
        raise MathTaskError(
            f"{path or benchmark.hub_name}: {source} has {benchmark.problems} problems, {len(tasks)} were found; "
            "give the complete set, or name the file as the source to use the problems it has"
        )
    if not tasks:
        raise MathTaskError(f"{path or source}: no problems found")
    return tasks


def _tasks(rows: Located, name: str) -> Iterator[MathTask]:
    seen: dict[str, str] = {}
    for index, (row, where) in enumerate(rows):
        problem = _first(row, _PROBLEM)
        if problem is None:
            names = " or ".join(_PROBLEM)
            raise MathTaskError(f"{where}: the row has no {names}; it has {', '.join(sorted(row))}")
        key = _first(row, _ID)
        instance_id = f"{name}-{index if key is None else key}"
        if instance_id in seen:
            raise MathTaskError(f"{where}: duplicate {instance_id}, first at {seen[instance_id]}")
        seen[instance_id] = where
        yield MathTask(instance_id=instance_id, problem=str(problem), answer=_answer(row, where), source=name)


def _answer(row: Row, where: str) -> str:
    value = _first(row, _ANSWER)
    if value is None:
        value = last_box(str(row.get("solution") or ""))
        if value is None:
            raise MathTaskError(
                f"{where}: no answer: the row has none of {', '.join(_ANSWER)}, and its solution has no \\boxed"
            )
    if isinstance(value, float):
        if not math.isfinite(value):
            raise MathTaskError(f"{where}: the answer is {value}; correct the row")
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        kind = type(value).__name__
        raise MathTaskError(f"{where}: the answer is of type {kind}; write it as a text or a number")
    text = str(value).rpartition("####")[2].strip()
    if not text:
        raise MathTaskError(f"{where}: the answer is empty; correct the row")
    return text


def _first(row: Row, names: tuple[str, ...]) -> object:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)
