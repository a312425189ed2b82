"""The judge of math answers: what of a completion is its answer, and whether it equals the reference.

Equal texts and whole numbers are judged here; the rest goes to worker processes (:mod:`environments.math.worker`),
which are started with the first such pair and end with this process, however it ends.
"""

import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from environments.math.answers import Outcome, extract_answer, normalise, plainly_equal

__all__ = ["MathVerdict", "MathVerifier", "extract_answer"]

ANSWER_LIMIT = (
    2_000  # characters of an answer that are read as mathematics; a longer one must equal the reference
)
_START_SECONDS = 120.0  # for a worker to import its libraries, on a machine that does other work as well
_GRACE_SECONDS = 1.0  # a worker ends a pair in time itself; it is killed when it does not


@dataclass(frozen=True, kw_only=True)
class MathVerdict:
    """What the judge says of one completion."""

    resolved: bool | None  # None: could not be judged
    reason: Outcome | Literal["no_answer"]
    answer: str  # what was extracted; empty if nothing
    detail: str = ""  # for a person


class MathVerifier:
    """Judges completions; safe to use from several threads, each pair in a process and time limit of its own.

    ``seconds`` is the limit of one pair; the first pair of a worker also waits for the worker's start.
    Close it, or use it as a context manager.
    """

    def __init__(self, *, seconds: float = 5.0, workers: int = 1) -> None:
        if seconds <= 0 or workers < 1:
            raise ValueError(f"seconds must be positive and workers at least 1, not {seconds} and {workers}")
        self._seconds = seconds
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()  # so that one that runs is taken first
        self._closing = threading.Lock()  # two that close would wait for each other's workers
        for worker in self._workers:
            self._idle.put(worker)

    def verify(self, completion: str, answer: str) -> MathVerdict:
        r"""The verdict on one completion, by the reference answer.

        An answer that is no mathematics is wrong unless it is the reference's text; a reference that is none, or a
        pair that takes too long, is unjudged.

        >>> with MathVerifier() as verifier:
        ...     verifier.verify(r"Half of it: \boxed{0.5}", r"\frac{1}{2}").resolved
        True
        """
        extracted = extract_answer(completion)
        if extracted is None:
            return MathVerdict(resolved=False, reason="no_answer", answer="")
        gold, given = normalise(answer), normalise(extracted)
        if not gold:
            return _verdict("unjudged", extracted, "the reference answer is empty")
        equal = plainly_equal(gold, given)
        if equal is not None:
            return _verdict("correct" if equal else "wrong", extracted)
        if len(gold) > ANSWER_LIMIT:
            return _verdict("unjudged", extracted, f"the reference has more than {ANSWER_LIMIT} characters")
        if len(given) > ANSWER_LIMIT:
            return _verdict("wrong", extracted, f"the answer has more than {ANSWER_LIMIT} characters")
        worker = self._idle.get()
        try:
            outcome, detail = worker.judge(gold, given, self._seconds)
        finally:
            self._idle.put(worker)
        return _verdict(outcome, extracted, detail)

    def verify_many(self, pairs: Sequence[tuple[str, str]]) -> list[MathVerdict]:
        """Verdicts on (completion, answer) pairs, in their order, over all workers."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            return list(pool.map(lambda pair: self.verify(*pair), pairs))

    def close(self) -> None:
        """End the workers once their pairs are judged; a later pair would start them again."""
        with self._closing:
            workers = [self._idle.get() for _ in self._workers]
        for worker in workers:
            worker.stop()
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _verdict(outcome: Outcome, answer: str, detail: str = "") -> MathVerdict:
    resolved = None if outcome == "unjudged" else outcome == "correct"
    return MathVerdict(resolved=resolved, reason=outcome, answer=answer, detail=detail)


class _Dead(Exception):
    """The process ended, or did not answer in time."""


class _Worker:
    """One worker process, started when it is needed and again after it ended. One thread at a time has it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def judge(self, gold: str, answer: str, seconds: float) -> tuple[Outcome, str]:
        request = json.dumps({"gold": gold, "answer": answer, "seconds": seconds}).encode() + b"\n"
        if self._process is not None and _has_ended(self._process):
            self.stop()
        try:
            process = self._process or self._start()
            _write(process, request)
            reply = json.loads(self._line(process, seconds + _GRACE_SECONDS))
        except _Dead as error:
            self.stop()
            return "unjudged", str(error)
        except (
            BaseException
        ):  # a key press between question and answer: the answer must not meet another question
            self.stop()
            raise
        return reply["outcome"], reply["detail"]

    def stop(self) -> None:
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return
        with suppress(ProcessLookupError):  # it was waited for by another
            os.killpg(process.pid, signal.SIGKILL)  # with the child that judges
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH")) if part)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "environments.math.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        self._line(self._process, _START_SECONDS)  # it says that it is ready
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """The next line of the process. Raises _Dead."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise _Dead(f"the worker process did not answer within {seconds:g} s")
            chunk = os.read(process.stdout.fileno(), 65_536)
            if not chunk:
                raise _Dead("the worker process ended")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has; its number stays taken, so that its group can still be killed."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _write(process: subprocess.Popen[bytes], request: bytes) -> None:
    """A request is shorter than a pipe's buffer (ANSWER_LIMIT twice, at most 12 bytes a character): no wait."""
    assert process.stdin is not None
    try:
        process.stdin.write(request)
    except BrokenPipeError as error:
        raise _Dead("the worker process ended") from error
