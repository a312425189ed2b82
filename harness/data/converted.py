"""From a trajectory to rows of text, and from these to the output in the order of the input.

The first can be done anywhere. The second gives ids, finds duplicates and counts.
"""

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import IO

from environments.math.answers import last_box
from environments.math.verifier import MathVerifier
from harness.data.card import Card, Facts
from harness.data.outputs import Write
from trajectories import Trajectory
from trajectories.filters.pipeline import FilterPipeline, Findings
from trajectories.ledger import FileLedger
from trajectories.readers.pipeline import UniqueIds
from trajectories.writers import Writer

_SOLUTIONS = frozenset({"math", "s1k"})  # formats whose trajectories are solutions of problems


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Counts of a trajectory, and where its id belongs in the text of its rows."""

    wanted_id: str
    findings: Findings
    verdict: str | None  # of the answer, if it was checked
    facts: Facts | None = None  # None: a filter dropped it
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    pieces: Sequence[int] = (0,)  # characters of the text before, between and after the places of the id


class Converter:
    """A converter of single trajectories, which remembers nothing."""

    def __init__(self, *, writer: Writer, pipeline: FilterPipeline, verifier: MathVerifier) -> None:
        self._writer = writer
        self._pipeline = pipeline
        self._verifier = verifier
        self._place = secrets.token_hex(16)  # of an id that depends on the trajectories before

    def convert(self, trajectory: Trajectory) -> tuple[Converted, bytes]:
        """Return what is counted, and the text of the rows without the trajectory's id."""
        wanted = trajectory.trajectory_id
        trajectory, verdict = check_answer(trajectory, self._verifier)
        filtered, findings = self._pipeline.run(replace(trajectory, trajectory_id=self._place))
        if filtered is None:
            return Converted(wanted_id=wanted, findings=findings, verdict=verdict), b""
        left_out: Counter[str] = Counter()
        # ASCII only: lone surrogates of broken sources survive.
        rows = [json.dumps(row) for row in self._writer(filtered, left_out)]
        pieces = "".join(f"{row}\n" for row in rows).split(self._place)
        converted = Converted(
            wanted_id=wanted,
            findings=findings,
            verdict=verdict,
            facts=Facts.of(filtered),
            rows=len(rows),
            left_out=left_out,
            pieces=[len(piece) for piece in pieces],
        )
        return converted, "".join(pieces).encode("ascii")


class Output:
    """The rows of all trajectories in order, and what is counted of them."""

    def __init__(self, write: Write, *, pipeline: FilterPipeline, card: Card) -> None:
        self._write = write
        self._pipeline = pipeline
        self._card = card
        self._ids = UniqueIds()
        self.rows = 0
        self.left_out: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()

    def add(self, converted: Converted, text: IO[bytes], account: FileLedger) -> None:
        """Count the next trajectory and write its rows. ``text`` is read to the end of them."""
        trajectory_id = self._ids.take(converted.wanted_id, account)
        if converted.verdict is not None:
            self.verdicts[converted.verdict] += 1
        kept = self._pipeline.settle(converted.findings, trajectory_id, account)
        if not kept or converted.facts is None:  # the latter are not kept
            text.seek(sum(converted.pieces), 1)
            return
        self._card.add(converted.facts)
        self.rows += converted.rows
        self.left_out.update(converted.left_out)
        as_json = json.dumps(trajectory_id)[1:-1].encode("ascii")
        pieces = chain.from_iterable((as_json, text.read(size)) for size in converted.pieces)
        if converted.rows:
            self._write(trajectory_id, islice(pieces, 1, None))


def check_answer(trajectory: Trajectory, verifier: MathVerifier) -> tuple[Trajectory, str | None]:
    """Set ``resolved`` of a boxed solution that is not graded yet and has a known right answer; return the verdict."""
    answer = trajectory.metadata.get("answer")
    if trajectory.source not in _SOLUTIONS or trajectory.resolved is not None or not answer:
        return trajectory, None
    actions = (action for step in trajectory.steps for action in step.actions)
    text = "\n".join(str(action.arguments.get("text", "")) for action in actions)
    if last_box(text) is None:
        return trajectory, "no_box"
    verdict = verifier.verify(text, str(answer))
    return replace(trajectory, resolved=verdict.resolved), verdict.reason
