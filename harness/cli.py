"""Shared by all commands: arguments, and one message and an exit code instead of a traceback for user errors."""

import argparse
import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from trajectories.store import StoreError

INTERRUPTED = 130  # 128 + SIGINT, as shells count


class UserError(Exception):
    """An error that the user can fix; the message says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(UserError):
    """Wrong usage of a command: its arguments, its recipe, or what they name."""

    exit_code = 2


def raise_all(problems: Sequence[UserError]) -> None:
    """Raise one error that lists all problems, each once; return if there is none."""
    texts = list(dict.fromkeys(str(problem) for problem in problems))
    if not texts:
        return
    kind = max((type(problem) for problem in problems), key=lambda one: one.exit_code)
    raise kind(texts[0] if len(texts) == 1 else "\n- ".join([f"{len(texts)} problems", *texts]))


@contextmanager
def user_errors(*errors: type[Exception], about: str = "", usage: bool = False) -> Iterator[None]:
    """Raise UserError (``usage``: UsageError) with the message of these exceptions, after ``about: ``."""
    try:
        yield
    except errors as error:
        kind = UsageError if usage else UserError
        raise kind(f"{about}: {error}" if about else str(error)) from error


def add_recipe_arguments(parser: argparse.ArgumentParser, *, example: str) -> None:
    """Add the arguments of a command that runs a recipe and writes a run folder."""
    parser.add_argument(
        "recipe", nargs="?", help="a YAML file, or the name of a shipped recipe (default: demo)"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"e.g. {example}")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the resolved recipe and check all names in it"
    )
    parser.add_argument("--resume", metavar="RUN", help="resume an interrupted run, e.g. outputs/mine")


def positive(text: str) -> int:
    """Parse an integer argument that is at least 1. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
    return int(text)


def resumed_run(options: argparse.Namespace) -> Path | None:
    """Return the folder of the run to resume, None without --resume. Raises UserError if it is combined."""
    if not options.resume:
        return None
    if options.recipe or options.overrides or options.dry_run:
        raise UsageError("--resume continues a run with its own recipe: it takes no recipe and no overrides")
    return Path(options.resume)


def recipe_and_overrides(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Return the recipe's name and the overrides; the first word is an override if it contains ``=``."""
    words = [word for word in (options.recipe, *options.overrides) if word]
    named = words[:1] if words and "=" not in words[0] else []
    return (named[0] if named else "demo"), words[len(named) :]


def new_run(output: str, name: str) -> Path:
    """Return the folder of a run that starts now; ``{time}`` in its name becomes date and time."""
    return Path(output) / name.replace("{time}", datetime.now().strftime("%Y%m%d-%H%M%S"))


def run(main: Callable[[], int | None]) -> int:
    """Run a command and return its exit code, or that of its failure.

    UserError, StoreError and OSError (full disk, no permission) print one ``error: …`` line on stderr;
    Ctrl-C prints ``interrupted`` and returns 130. Any other exception is a bug of ours and propagates.
    A command ends with ``if __name__ == "__main__": sys.exit(run(main))``.
    """
    set_cpu_variables()
    try:
        code = main()
        sys.stdout.flush()  # a closed pipe shows here, not at interpreter exit
        return code or 0
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader of our stdout (`| head`) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UserError as error:
        return _fail(f"error: {error}", error.exit_code)
    except StoreError as error:
        return _fail(f"error: {error}", 1)
    except OSError as error:
        return _fail(f"error: {describe_os_error(error)}", 1)


def set_cpu_variables() -> None:
    """Limit the CPU and memory use of a model on a CPU: waiting threads sleep, and few compiled kernels are cached.

    The variables take effect only before torch is imported (figures: docs/benchmarks.md). Existing values are kept.
    """
    # By default a waiting thread of GNU OpenMP spins for milliseconds, on a core that another process may need, and a
    # model waits thousands of times a second.
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "1000"
    # oneDNN compiles a matrix product per shape; it and PyTorch above it cache 1,024 each. Every text length is a new
    # shape, used in all layers and hardly ever again.
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "256")


def describe_os_error(error: OSError) -> str:
    """Return one line with the path and, for common errors, what to do.

    >>> describe_os_error(OSError(errno.ENOSPC, "No space left on device", "out.jsonl"))
    'out.jsonl: No space left on device (free some space, or write somewhere else)'
    """
    hints = {
        errno.ENOSPC: "free some space, or write somewhere else",
        errno.EFBIG: "the file is larger than this system allows (see `ulimit -f`)",
        errno.EACCES: "check the permissions",
        errno.EROFS: "write somewhere else",
    }
    text = error.strerror or str(error) or type(error).__name__
    if (name := error.filename) is not None:
        text = f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {text}"
    hint = hints.get(error.errno or 0)
    return f"{text} ({hint})" if hint else text


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return code
