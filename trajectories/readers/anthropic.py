"""Anthropic Messages: a request body, one with its reply, or the bare list of messages."""

from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import anthropic_events
from trajectories.readers.events import record
from trajectories.readers.fields import as_object
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read also ``request``/``response`` pairs, and an ``instance_id`` that was added to the body."""
    body = as_object(document.value, "messages")
    request = body.get("request", body)
    messages = list(request["messages"])
    reply = body.get("response")
    if isinstance(reply, Mapping) and reply.get("role") == "assistant":
        messages.append(reply)
    yield from record(
        anthropic_events(messages),
        document,
        ledger,
        source="anthropic",
        instance_id=body.get("instance_id"),
        trajectory_id=body.get("trajectory_id"),
        model=request.get("model"),
        resolved=body.get("resolved"),
    )
