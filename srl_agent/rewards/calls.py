"""Call reward functions as TRL's ``GRPOTrainer`` does, and check what they return.

A reward gets keyword arguments only: ``prompts`` and ``completions`` as chat messages, ``completion_ids``, one
``trainer_state``, ``log_extra``, ``log_metric`` and every column of the rows as a list. It may be a coroutine function.
"""

import asyncio
import functools
import inspect
import json
import math
import threading
import traceback
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real

from trajectories.types import JSON

Reward = Callable[..., object]
LogMetric = Callable[[str, float], None]  # name, value

# What every reward is called with beside the columns.
ARGUMENTS = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
_LARGEST = 3.4e38  # of float32, in which trainers sum rewards
_SAMPLE_COLUMNS = ("trajectory_id", "step_index", "task_id")  # that name a sample in messages


class RewardError(ValueError):
    """A reward that failed, or returned what is no reward; the message names it and the sample."""


@dataclass(frozen=True, kw_only=True)
class RewardBatch:
    """Completions to score; every sequence has one entry per completion."""

    prompts: Sequence[Sequence[Mapping[str, str]]]  # chat messages
    texts: Sequence[str]
    token_ids: Sequence[Sequence[int]]  # of the completions, with the end token
    columns: Mapping[str, Sequence[object]]
    trainer_state: object  # transformers' TrainerState
    log_metric: LogMetric


@dataclass(frozen=True, kw_only=True)
class Returned:
    """Values and logs of the rewards of a batch; every list has one entry per completion."""

    parts: Mapping[str, list[float | None]]  # by reward; None: not judged
    extra: Mapping[str, list[JSON]]  # by column of ``log_extra``


def call_rewards(functions: Mapping[str, Reward], batch: RewardBatch) -> Returned:
    """Call every reward once for the whole batch; coroutines run side by side. Raises RewardError."""
    logged: dict[tuple[str, str], list[JSON]] = defaultdict(list)  # by (column, reward)
    returned: dict[str, object] = {}
    for name, function in functions.items():
        given = _arguments(name, batch, logged)
        _check_signature(name, function, given)
        with _failures_of(name):
            returned[name] = function(**given)
    waiting = {name: value for name, value in returned.items() if inspect.isawaitable(value)}
    if waiting:
        awaited = asyncio.run_coroutine_threadsafe(_await_all(waiting), _event_loop()).result()
        returned |= dict(zip(waiting, awaited, strict=True))
    parts = {name: _judged(name, value, batch) for name, value in returned.items()}
    return Returned(parts=parts, extra=_columns(logged, len(batch.texts)))


def required_arguments(function: Reward) -> set[str]:
    """Return the names of the parameters without a default. Raises ValueError for a callable without a signature."""
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind in named and p.default is inspect.Parameter.empty}


def _arguments(
    name: str, batch: RewardBatch, logged: Mapping[tuple[str, str], list[JSON]]
) -> dict[str, object]:
    def log_extra(column: str, values: Iterable[object]) -> None:
        logged[column, name].extend(map(_as_json, values))

    def log_metric(metric: str, value: float) -> None:
        number = _number(value)
        if number is None:
            raise RewardError(f"{name}: log_metric({metric!r}, {value!r:.80}): the value is no number")
        batch.log_metric(metric, number)

    return {
        **{column: list(values) for column, values in batch.columns.items()},
        "prompts": list(batch.prompts),
        "completions": [[{"role": "assistant", "content": text}] for text in batch.texts],
        "completion_ids": [list(ids) for ids in batch.token_ids],
        "trainer_state": batch.trainer_state,
        "log_extra": log_extra,
        "log_metric": log_metric,
    }


def _check_signature(name: str, function: Reward, given: Mapping[str, object]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some callables of C have none
        return
    try:
        signature.bind(**given)
    except TypeError as error:
        raise RewardError(
            f"{name} cannot be called: {error}; a reward gets {', '.join(sorted(given))}: "
            "take what it needs, and the rest as **columns"
        ) from error


@contextmanager
def _failures_of(name: str) -> Iterator[None]:
    """Name the reward, and the line of it, in place of its exceptions."""
    try:
        yield
    except RewardError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in frames if frame.filename != __file__), None)
        where = f" ({own.filename}:{own.lineno}, in {own.name})" if own else ""
        raise RewardError(f"{name} raised {type(error).__name__}: {error}{where}") from error


async def _await_all(waiting: Mapping[str, Awaitable[object]]) -> list[object]:
    async def finish(name: str, value: Awaitable[object]) -> object:
        with _failures_of(name):
            return await value

    return await asyncio.gather(*(finish(name, value) for name, value in waiting.items()))


@functools.cache
def _event_loop() -> asyncio.AbstractEventLoop:
    """Return one loop for the life of the process: clients that a reward keeps open are bound to their loop."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="async rewards", daemon=True).start()
    return loop


def _judged(name: str, returned: object, batch: RewardBatch) -> list[float | None]:
    """Return one number per completion, None where it was not judged. Raises RewardError."""
    values = _to_list(returned)
    if values is None:
        raise RewardError(
            f"{name} returned {returned!r:.80} ({type(returned).__name__}): a reward returns a list of one number "
            "per completion"
        )
    if len(values) != len(batch.texts):
        raise RewardError(
            f"{name} returned {len(values)} values for {len(batch.texts)} completions: a reward returns one number "
            "per completion"
        )
    return [_score(name, value, index, batch) for index, value in enumerate(values)]


def _to_list(returned: object) -> list[object] | None:
    if (tolist := getattr(returned, "tolist", None)) is not None:  # arrays and tensors
        returned = tolist()
    if isinstance(returned, str | bytes | Mapping | set | frozenset) or not isinstance(returned, Iterable):
        return None
    return list(returned)


def _score(name: str, value: object, index: int, batch: RewardBatch) -> float | None:
    number = None if value is None else _number(value)
    if value is not None and (number is None or abs(number) > _LARGEST):
        columns = {key: batch.columns[key][index] for key in _SAMPLE_COLUMNS if key in batch.columns}
        which = "".join(f", {key} {one}" for key, one in columns.items())
        raise RewardError(
            f"{name} returned {value!r:.80} ({type(value).__name__}) for completion {index}{which}: a reward is a "
            "finite number, or None where it cannot judge"
        )
    # TRL writes None as NaN, so both mean that the completion was not judged.
    return None if number is None or math.isnan(number) else number


def _number(value: object) -> float | None:
    """Return a number, also one in an array or tensor, as a float; None if it is none. Too large ones are infinite."""
    if (item := getattr(value, "item", None)) is not None:
        try:
            value = item()
        except (TypeError, ValueError, RuntimeError):  # several elements
            return None
    try:
        return float(value) if isinstance(value, Real) else None
    except OverflowError:
        return math.inf


def _columns(logged: Mapping[tuple[str, str], list[JSON]], count: int) -> dict[str, list[JSON]]:
    """Return what ``log_extra`` got, by column; the second reward that logs a column has its name beside it."""
    columns: dict[str, list[JSON]] = {}
    for (column, name), values in logged.items():
        if len(values) != count:
            raise RewardError(
                f"{name}: log_extra({column!r}, …) got {len(values)} values for {count} completions"
            )
        columns[column if column not in columns else f"{column} ({name})"] = values
    return columns


def _as_json(value: object) -> JSON:
    """Return a value as JSON can hold it: text in place of what it cannot."""
    if (tolist := getattr(value, "tolist", None)) is not None:
        value = tolist()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return str(value)
    return value
