"""Anthropic Messages: a request body, one with its reply, or the bare list of messages."""

from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import anthropic_events
from trajectories.readers.events import admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "anthropic"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Beside the body's own fields: ``request``/``response`` pairs, and an ``instance_id`` somebody added."""
    body = document.value if isinstance(document.value, Mapping) else {"messages": document.value}
    request = body.get("request", body)
    messages = list(request["messages"])
    reply = body.get("response")
    if isinstance(reply, Mapping) and reply.get("role") == "assistant":
        messages.append(reply)
    folded = fold(anthropic_events(messages))
    task = issue_text(folded.prompt)
    instance_id = body.get("instance_id") or document.name
    resolved = body.get("resolved")
    metadata: dict[str, JSON] = {} if task == folded.prompt.strip() else {"prompt": folded.prompt}
    yield from admit(
        Trajectory(
            trajectory_id=body.get("trajectory_id") or instance_id,
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=request.get("model"),
            resolved=resolved if isinstance(resolved, bool) else None,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )
