"""Solved mathematical problems: s1K-1.1's rows, and plain rows of a question, a solution and an answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite

from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.schema_check import check_schema
from trajectories.solutions import NotInSteps, split_solution, step_action
from trajectories.sources.documents import Document
from trajectories.types import JSONObject, Step, Trajectory

_QUESTIONS = ("question", "problem")
_S1K_SOLVERS = {"deepseek": "DeepSeek-R1", "gemini": "Gemini Thinking"}
_GRADES = {"yes": True, "no": False}


@dataclass(frozen=True, kw_only=True)
class _Solved:
    """The fields of a row, whatever their names in it."""

    solution: str
    answer: str | None
    model: str | None
    resolved: bool | None
    metadata: JSONObject


def read_s1k(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read the steps of R1's solution, or Gemini's if there is none, and their grade; ``solution`` is the answer."""
    yield from _read(document, ledger, "s1k", _s1k)


def read_solutions(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read ``question`` or ``problem``, ``solution``, and optionally ``answer`` and ``correct`` (a grade)."""
    yield from _read(document, ledger, "math", _plain)


def _read(
    document: Document, ledger: FileLedger, source: str, sort_out: Callable[[JSONObject], _Solved]
) -> Iterator[Trajectory]:
    several = isinstance(document.value, list)
    for number, row in enumerate(document.value if several else [document.value], 1):
        position = f"{document.position} row {number}" if several else document.position
        try:
            trajectory = _trajectory(row, source, sort_out)
            check_schema(trajectory)
        except NotInSteps as reason:
            ledger.trajectory(position, 0, reason=str(reason))
            continue
        except (TypeError, AttributeError, ValueError) as error:
            ledger.trajectory(f"{position}: {error}", 0, reason="malformed")
            continue
        ledger.trajectory(position, len(trajectory.steps))
        if "preamble" in trajectory.metadata:
            ledger.note("text_before_the_first_step", position)
        yield trajectory


def _trajectory(row: JSONObject, source: str, sort_out: Callable[[JSONObject], _Solved]) -> Trajectory:
    question = _text(row, next((key for key in _QUESTIONS if row.get(key)), "question"))
    solved = sort_out(row)
    solution = split_solution(solved.solution)
    # A problem is identified by its text: ids of rows mean nothing outside of their file.
    name = f"{source}-{sha256(question.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
    row_id = row.get("id", row.get("unique_id"))
    metadata = {"answer": solved.answer, "preamble": solution.preamble, "row_id": row_id, **solved.metadata}
    return Trajectory(
        trajectory_id=name,
        instance_id=name,
        task=question.strip(),
        steps=tuple(Step(thought="", actions=(step_action(s),), observation="") for s in solution.steps),
        source=source,
        model=solved.model,
        resolved=solved.resolved,
        metadata={key: value for key, value in metadata.items() if value not in (None, "")},
    )


def _s1k(row: JSONObject) -> _Solved:
    solver = next((name for name in _S1K_SOLVERS if row.get(f"{name}_attempt")), "deepseek")
    kept = ("cot_type", "source_type", "metadata")
    thinking, reason = row.get(f"{solver}_thinking_trajectory"), row.get(f"{solver}_grade_reason")
    return _Solved(
        solution=_text(row, f"{solver}_attempt"),
        answer=_text(row, "solution").strip(),
        model=_S1K_SOLVERS[solver],
        resolved=_GRADES.get(str(row.get(f"{solver}_grade", "")).strip().lower()),
        metadata={**{key: row.get(key) for key in kept}, "thinking": thinking, "grade_reason": reason},
    )


def _plain(row: JSONObject) -> _Solved:
    answer, correct = row.get("answer"), row.get("correct")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float | None):
        raise TypeError(f"answer is of type {type(answer).__name__}")
    if isinstance(answer, float) and not isfinite(answer):
        raise TypeError(f"answer is {answer}")
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    return _Solved(
        solution=_text(row, "solution"),
        answer=None if answer is None else str(answer).strip(),
        model=text_at(row, "model"),
        resolved=correct if isinstance(correct, bool) else None,
        metadata={key: row.get(key) for key in ("source", "subject", "level", "url") if row.get(key)},
    )


def _text(row: JSONObject, key: str) -> str:
    value = row.get(key)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise TypeError(f"{key} is missing or empty")
    if not isinstance(value, str):
        raise TypeError(f"{key} is of type {type(value).__name__}")
    return value
