"""Verify math completions: extract the answer and compare it with the reference.

Equal texts and whole numbers are compared here; the rest goes to worker processes (:mod:`environments.math.worker`),
which start with the first such pair and end with this process, however it ends.
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
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from environments.math.answers import AnswerStatus, extract_answer, normalise, plainly_equal

__all__ = ["MathVerdict", "MathVerifier", "extract_answer"]

ANSWER_LIMIT = 2_000  # characters of an answer parsed as mathematics; a longer one must equal the reference
_START_SECONDS = 120.0  # for a worker to import its libraries on a busy machine
_GRACE_SECONDS = 1.0  # a worker ends a pair in time itself; it is killed if it does not


@dataclass(frozen=True, kw_only=True)
class MathVerdict:
    """The verdict on one completion."""

    resolved: bool | None  # None: could not be graded
    reason: AnswerStatus | Literal["no_answer"]
    answer: str  # as extracted; empty if there is none
    detail: str = ""  # for a person


class MathVerifier(AbstractContextManager["MathVerifier"]):
    """Verifier of completions; thread-safe, each pair has its own process and time limit.

    ``seconds`` is the limit per pair; a worker's first pair also waits for the worker's start. Close the verifier, or
    use it as a context manager.
    """

    def __init__(self, *, seconds: float = 5.0, workers: int = 1) -> None:
        if seconds <= 0 or workers < 1:
            raise ValueError(f"seconds must be positive and workers at least 1, not {seconds} and {workers}")
        self._seconds = seconds
        self._workers = [_Worker() for _ in range(workers)]
        # Last in, first out: running workers are used first.
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()
        self._closing = threading.Lock()  # two closing threads would wait for each other's workers
        for worker in self._workers:
            self._idle.put(worker)

    def verify(self, completion: str, answer: str) -> MathVerdict:
        r"""Return the verdict on one completion, given the reference answer.

        An answer that cannot be parsed is wrong unless its text equals the reference. A reference that cannot be
        parsed, or a pair that takes too long, is unjudged.

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
            status, detail = worker.compare(gold, given, self._seconds)
        finally:
            self._idle.put(worker)
        return _verdict(status, extracted, detail)

    def verify_many(self, pairs: Sequence[tuple[str, str]]) -> list[MathVerdict]:
        """Return verdicts on (completion, answer) pairs in their order, using all workers."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            return list(pool.map(lambda pair: self.verify(*pair), pairs))

    def close(self) -> None:
        """End the workers once their pairs are compared; a later pair starts them again."""
        with self._closing:
            workers = [self._idle.get() for _ in self._workers]
        for worker in workers:
            worker.stop()
            self._idle.put(worker)

    def __exit__(self, *error: object) -> None:
        self.close()


def _verdict(status: AnswerStatus, answer: str, detail: str = "") -> MathVerdict:
    resolved = None if status == "unjudged" else status == "correct"
    return MathVerdict(resolved=resolved, reason=status, answer=answer, detail=detail)


class _WorkerDied(Exception):
    """The process ended, or did not answer in time."""


class _Worker:
    """One worker process, started when needed and restarted after it ended. Not thread-safe."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def compare(self, gold: str, answer: str, seconds: float) -> tuple[AnswerStatus, str]:
        request = json.dumps({"gold": gold, "answer": answer, "seconds": seconds}).encode() + b"\n"
        if self._process is not None and _has_ended(self._process):
            self.stop()
        try:
            process = self._process or self._start()
            _write(process, request)
            reply = json.loads(self._line(process, seconds + _GRACE_SECONDS))
        except _WorkerDied as error:
            self.stop()
            return "unjudged", str(error)
        except BaseException:  # Ctrl-C between request and reply: the reply must not answer the next request
            self.stop()
            raise
        return reply["status"], reply["detail"]

    def stop(self) -> None:
        process, self._process, self._unread = self._process, None, b""
        if process is None:
            return
        with suppress(ProcessLookupError):  # it has already been waited for
            os.killpg(process.pid, signal.SIGKILL)  # including the child that compares
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
        self._line(self._process, _START_SECONDS)  # the ready message
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes:
        """Return the next line of the process. Raises _WorkerDied."""
        assert process.stdout is not None
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise _WorkerDied(f"the worker process did not answer within {seconds:g} s")
            chunk = os.read(process.stdout.fileno(), 65_536)
            if not chunk:
                raise _WorkerDied("the worker process ended")
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return whether the process has ended, without reaping it, so that its group can still be killed."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _write(process: subprocess.Popen[bytes], request: bytes) -> None:
    """Send a request without blocking: it fits a pipe's buffer (ANSWER_LIMIT twice, at most 12 bytes a character)."""
    assert process.stdin is not None
    try:
        process.stdin.write(request)
    except BrokenPipeError as error:
        raise _WorkerDied("the worker process ended") from error
