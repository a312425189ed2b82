"""Progress output of a command: on standard error, as standard output is for results."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import rich.console
import rich.progress

_WIDTH = 120  # of tables if standard output is not a terminal


def table_console() -> rich.console.Console:
    """Return a console on standard output, for tables that are results."""
    return rich.console.Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)


@dataclass(frozen=True, kw_only=True)
class Console:
    """Lines and progress bars on standard error."""

    enabled: bool = True  # False on every process but the main one
    _out: rich.console.Console = field(
        init=False, default_factory=lambda: rich.console.Console(stderr=True, highlight=False)
    )

    def info(self, text: str) -> None:
        """Print a line."""
        if self.enabled:
            self._out.print(text, markup=False, soft_wrap=True)

    def _bar(self, amount: rich.progress.ProgressColumn) -> rich.progress.Progress:
        what, left = rich.progress.TextColumn("{task.description}"), rich.progress.TimeRemainingColumn()
        columns = (what, rich.progress.BarColumn(), amount, left)
        return rich.progress.Progress(*columns, console=self._out, transient=True, disable=not self.enabled)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show a bar with an estimate of the time left; yield a function that takes the newly finished count."""
        with self._bar(rich.progress.MofNCompleteColumn()) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.update(task, advance=count)

    @contextmanager
    def transfer(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar of bytes; yield a function that takes the bytes done and the bytes in total."""
        with self._bar(rich.progress.DownloadColumn()) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
