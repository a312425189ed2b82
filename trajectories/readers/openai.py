"""OpenAI chat messages with ``tool_calls`` (OpenHands and many others), or with XML calls in the text."""

from collections.abc import Iterator

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_events
from trajectories.readers.events import record
from trajectories.readers.fields import as_object, texts_at
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read a row or a bare list of messages."""
    row = as_object(document.value, "messages")
    yield from record(
        openai_events(row["messages"]),
        document,
        ledger,
        source="openai",
        instance_id=row.get("instance_id"),
        trajectory_id=row.get("trajectory_id") or row.get("traj_id"),
        model=row.get("model"),
        resolved=row.get("resolved"),
        metadata=texts_at(row, "agent", "repo", "base_commit"),
    )
