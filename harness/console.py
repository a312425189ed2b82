"""What a person sees while a command runs; standard error, so that standard output stays for results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

_WIDTH = 120  # of tables where standard output is no terminal


def table_console() -> Console:
    """For tables that are results: on standard output."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


@dataclass(frozen=True, kw_only=True)
class Teller:
    """Lines and progress bars; silent on every process but the first."""

    speaks: bool = True
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))

    def say(self, text: str) -> None:
        if self.speaks:
            self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar with an estimate; yields a function that takes how many more are done."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.speaks) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.update(task, advance=count)

    @contextmanager
    def transfer(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar of bytes; yields a function that takes how many are done and how many there are."""
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True, disable=not self.speaks) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
