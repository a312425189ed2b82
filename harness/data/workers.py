"""Worker processes that do tasks of a sequence, and their results in the order of the sequence."""

import gc
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from traceback import format_exception
from typing import Generic, TypeVar

from harness.cli import UserError

MOST_WORKERS = 8  # by default: one process writes what all of them make
_QUEUED = 2  # tasks of a worker: the one that it does, and the next
_AHEAD = 4  # times the number of workers: tasks that may be done before an earlier one is

Task = TypeVar("Task")
Result = TypeVar("Result")


def default_workers() -> int:
    """Return the number of CPUs that this process may use, within bounds; 1 where processes cannot be forked safely."""
    if "fork" not in get_all_start_methods() or threading.active_count() > 1:
        return 1
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, MOST_WORKERS)


class Workers(AbstractContextManager["Workers[Task, Result]"], Generic[Task, Result]):
    """Processes that are forked at once, so that they share what is loaded, and end with this one.

    ``work(number, task)`` does the task with this number of the sequence.
    """

    def __init__(self, work: Callable[[int, Task], Result], count: int) -> None:
        self._pipes: list[Connection] = []
        self._processes: dict[Connection, ForkProcess] = {}
        try:
            with interrupts_held():
                for _ in range(count):
                    self._fork(work)
        except BaseException:
            self.__exit__()
            raise

    def _fork(self, work: Callable[[int, Task], Result]) -> None:
        context = get_context("fork")
        ours, theirs = context.Pipe()
        self._pipes.append(ours)
        process = context.Process(target=_serve, args=(theirs, self._pipes, work), daemon=True)
        process.start()
        self._processes[ours] = process
        theirs.close()

    def results(self, tasks: Iterator[Task]) -> Iterator[tuple[Task, Result]]:
        """Yield each task with its result, in order. Raises UserError if a worker ends, and what a worker raises."""
        queued: dict[Connection, int] = dict.fromkeys(self._pipes, 0)
        open_tasks: deque[tuple[int, Task]] = deque()
        done: dict[int, Result] = {}
        sent = 0
        while True:
            while len(open_tasks) < _AHEAD * len(self._pipes):
                pipe = min(self._pipes, key=queued.__getitem__)
                if queued[pipe] == _QUEUED or (task := next(tasks, None)) is None:
                    break
                self._send(pipe, (sent, task))
                queued[pipe] += 1
                open_tasks.append((sent, task))
                sent += 1
            if not open_tasks:
                return
            if open_tasks[0][0] in done:
                number, task = open_tasks.popleft()
                yield task, done.pop(number)
                continue
            waiting = wait([pipe for pipe, tasks_of_it in queued.items() if tasks_of_it])
            for pipe in self._pipes:
                if pipe in waiting:
                    number, result = self._receive(pipe)
                    done[number] = result
                    queued[pipe] -= 1

    def _send(self, pipe: Connection, task: tuple[int, Task]) -> None:
        try:
            pipe.send(task)
        except OSError as error:
            raise self._ended(pipe) from error

    def _receive(self, pipe: Connection) -> tuple[int, Result]:
        try:
            number, result, error = pipe.recv()
        except (EOFError, OSError) as ended:
            raise self._ended(pipe) from ended
        if error is not None:
            raise error
        return number, result

    def _ended(self, pipe: Connection) -> UserError:
        process = self._processes[pipe]
        process.join()
        code = process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"code {code}"
        return UserError(
            f"a worker process ended with {how}, perhaps for lack of memory; --workers 1 needs the least. "
            "Nothing was written."
        )

    def __exit__(self, *error: object) -> None:
        # SIGTERM would be lost where it meets a handler of this program in what Python does after a fork.
        for process in self._processes.values():
            process.kill()
        for pipe, process in self._processes.items():
            process.join()
            pipe.close()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block.

    In what Python does after a fork it would be lost; between making a thing and its clean-up the thing would stay.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, inherited: Sequence[Connection], work: Callable[[int, Task], Result]) -> None:
    """Do tasks until the other end is closed. Ctrl-C reaches all processes; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    gc.disable()  # it would copy what is shared with the first process
    for other in inherited:  # else another worker would keep this one's pipe open
        other.close()
    with suppress(EOFError, OSError):
        while True:
            number, task = pipe.recv()
            try:
                result, failure = work(number, task), None
            except Exception as error:  # the first process decides what it means
                result, failure = None, _portable(error)
            pipe.send((number, result, failure))


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent: one of the disk as it is, any other with its traceback as the message."""
    if isinstance(error, OSError):
        return error
    return RuntimeError("in a worker process:\n" + "".join(format_exception(error)))
