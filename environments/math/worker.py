"""The process that compares answers: ``python -m environments.math.worker``, one JSON line in, one out.

It holds the libraries and forks a child for each pair, so that no pair can affect the next: the child has its own
memory and time limits, and the kernel ends it even inside a long integer power. The verifier starts the worker as a
fresh process, never by forking itself. The worker ends when its standard input does.
"""

import gc
import json
import os
import resource
import select
import signal
import sys
from typing import NoReturn, TypedDict

from environments.math.equality import compare

MEMORY = 2 << 30  # bytes of a child's address space


class _Request(TypedDict):
    gold: str
    answer: str
    seconds: float


def main() -> None:
    """Serve standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business; it closes the pipe
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # output of libraries is no reply
    warm_up()
    gc.collect()
    gc.freeze()  # garbage collection in a child copies no pages
    answers.write(b"{}\n")
    while line := sys.stdin.buffer.readline():
        answers.write(json.dumps(_in_child(json.loads(line))).encode() + b"\n")
    os._exit(0)


def warm_up() -> None:
    """Fill the parser's caches once, for all children."""
    for gold, answer in ((r"\frac{1}{2}", "0.5"), ("x^2+1", "1+x^2"), ("(1,2]", r"\left\{1, 2\right\}")):
        compare(gold, answer)


def _in_child(request: _Request) -> dict[str, str]:
    """Return a child's reply; unjudged if it died."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.closerange(3, writing)  # the parent sees the worker's end even while the child runs
        _serve(request, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        ready, _, _ = select.select([pipe, sys.stdin.buffer], [], [])
        if pipe not in ready:  # standard input can only have ended
            os.kill(child, signal.SIGKILL)
            os._exit(0)
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if answer:
        return dict(json.loads(answer))
    timed_out = os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGALRM, signal.SIGXCPU)
    detail = f"no result within {request['seconds']:g} s" if timed_out else "the comparing process crashed"
    return {"status": "unjudged", "detail": detail}


def _serve(request: _Request, writing: int) -> NoReturn:
    try:
        seconds = float(request["seconds"])
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status, detail = compare(request["gold"], request["answer"])
        os.write(writing, json.dumps({"status": status, "detail": detail}).encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
