"""Conversion by several processes: they read parts of the input, and the first one joins what they make, in order."""

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

from harness.data.converted import Converted, Converter, Output
from harness.data.workers import Workers, interrupts_held
from trajectories.ledger import Entry, Journal, Ledger, replay
from trajectories.readers.pipeline import Edge, Found, Session
from trajectories.sources.lines import CutDocument, Span
from trajectories.sources.parts import Part

_BUFFER = 2**18

Account = tuple[str, str | None]  # path and format
Frame = tuple[list[Entry], Converted | None, Account | None]  # before the text of the rows; the last has none


def convert_alone(parts: Iterable[Part], session: Session, converter: Converter, output: Output) -> None:
    """Convert these parts of the input in this process."""
    _convert(session.read(parts), converter, output)


def convert_parallel(
    parts: Iterator[Part],
    *,
    workers: int,
    beside: Path,
    session: Callable[[Ledger], Session],
    ledger: Ledger,
    converter: Converter,
    output: Output,
) -> None:
    """Convert these parts of the input in worker processes, as :func:`convert_alone` does.

    ``beside``: a file in whose folder the workers may keep what they make. Raises UserError if a worker is killed.
    """
    with ExitStack() as stack:
        with interrupts_held():
            made = tempfile.TemporaryDirectory(prefix=f".{beside.name}.", dir=beside.parent)
            folder = Path(stack.enter_context(made))

        def work(number: int, part: Part) -> Edge | None:
            return _convert_part(part, session(Journal()), converter, folder / str(number))

        join = _Join(folder, session(ledger), ledger, converter, output)
        with Workers(work, workers) as pool:
            for number, (part, edge) in enumerate(pool.results(parts)):
                join.add(_Made(number=number, part=part, edge=edge))
        join.finish()


def _convert(found: Iterable[Found], converter: Converter, output: Output) -> None:
    for trajectory, account in found:
        converted, text = converter.convert(trajectory)
        output.add(converted, BytesIO(text), account)


def _convert_part(part: Part, session: Session, converter: Converter, path: Path) -> Edge | None:
    """Convert a part into a file of frames. Return the edge at its end, None if it cannot be read on its own."""
    journal = session.ledger
    assert isinstance(journal, Journal)
    session.resume(Edge(recognised=part.recognised))
    session.on_bytes = lambda path, position: None  # the first process reports progress
    with path.open("wb", buffering=_BUFFER) as file:

        def write(found: Iterable[Found]) -> None:
            for trajectory, account in found:
                converted, text = converter.convert(trajectory)
                pickle.dump((journal.take(), converted, (account.path, account.format_name)), file)
                file.write(text)

        try:
            write(session.read_part(part))
        except CutDocument:
            return None
        edge = session.edge
        write(session.flush())
        pickle.dump((journal.take(), None, None), file)
    return edge


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A part as a worker converted it."""

    number: int
    part: Part
    edge: Edge | None  # None: nothing


class _Join:
    """Joins the parts in order. A part that depends on the one before, in a way that was not foreseen, is read here."""

    def __init__(
        self, folder: Path, session: Session, ledger: Ledger, converter: Converter, output: Output
    ) -> None:
        self._folder = folder
        self._session = session
        self._ledger = ledger
        self._converter = converter
        self._output = output
        self._held: tuple[_Made, Edge] | None = None  # the last part, while its last group may go on
        self._read_to_its_end: Path | None = None

    def add(self, made: _Made) -> None:
        part, edge = made.part, made.edge
        if part.starts_inside and part.files[0] == self._read_to_its_end:
            self._path(made).unlink()
            return
        self._settle(part, edge)
        if edge is None:
            self._read_rest(part)
        elif not self._session.edge.joins(part, edge):
            self._read(part)
        else:
            _convert(self._session.flush(), self._converter, self._output)
            if edge.opened:
                self._held = made, edge
                return
            self._commit(made, edge)
        self._path(made).unlink()

    def finish(self) -> None:
        """Convert what is left behind the last part."""
        self._settle(None, None)
        _convert(self._session.flush(), self._converter, self._output)

    def _settle(self, part: Part | None, edge: Edge | None) -> None:
        """Take the part that is held as it was made, or read it here if its last group may go on in the next part."""
        if self._held is None:
            return
        (made, own), self._held = self._held, None
        if part is None or (edge is not None and own.joins(part, edge)):
            self._commit(made, own)
        else:
            self._read(made.part)
        self._path(made).unlink()

    def _path(self, made: _Made) -> Path:
        return self._folder / str(made.number)

    def _read(self, part: Part) -> None:
        _convert(self._session.read_part(part), self._converter, self._output)

    def _read_rest(self, part: Part) -> None:
        """Read a file from this part on to its end."""
        (path,) = part.files
        assert part.span is not None
        span = Span(start=part.span.start, stop=path.stat().st_size, line=part.span.line, is_last=True)
        self._read(replace(part, span=span))
        self._read_to_its_end = path

    def _commit(self, made: _Made, edge: Edge) -> None:
        """Take what a worker made."""
        with self._path(made).open("rb", buffering=_BUFFER) as file:
            while True:
                frame: Frame = pickle.load(file)
                entries, converted, account = frame
                replay(entries, self._ledger)
                if converted is None or account is None:
                    break
                self._output.add(converted, file, self._ledger.file(*account))
        self._session.resume(edge)
        last = made.part.files[-1]
        self._session.on_bytes(last, made.part.span.stop if made.part.span else 0)
