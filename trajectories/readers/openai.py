"""OpenAI chat messages with ``tool_calls`` (OpenHands and many others), or with XML calls in the text."""

from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import openai_events
from trajectories.readers.events import admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import JSON, Trajectory

SOURCE = "openai"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    row = document.value if isinstance(document.value, Mapping) else {"messages": document.value}
    folded = fold(openai_events(row["messages"]))
    task = issue_text(folded.prompt)
    instance_id = row.get("instance_id") or document.name
    resolved = row.get("resolved")
    metadata: dict[str, JSON] = {
        key: row[key] for key in ("agent", "repo", "base_commit") if isinstance(row.get(key), str)
    }
    if task != folded.prompt.strip():
        metadata["prompt"] = folded.prompt
    yield from admit(
        Trajectory(
            trajectory_id=row.get("trajectory_id") or row.get("traj_id") or instance_id,
            instance_id=instance_id,
            task=task,
            steps=folded.steps,
            source=SOURCE,
            model=row.get("model"),
            resolved=resolved if isinstance(resolved, bool) else None,
            metadata=metadata,
        ),
        folded,
        ledger,
        document.position,
    )
