"""Moatless node trees: every node holds the raw Anthropic reply that made its action."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trajectories.ledger import FileLedger
from trajectories.readers.chat import anthropic_reply
from trajectories.readers.events import Event, Result, Said, admit, fold, issue_text
from trajectories.sources.documents import Document
from trajectories.types import Trajectory

SOURCE = "moatless"


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """One trajectory for each leaf: a searched tree has several paths, a plain run one."""
    tree = document.value
    instance_id = (
        (tree.get("metadata") or {}).get("instance_id") or document.path.parent.name or document.name
    )
    leaves = _leaves(tree["nodes"])
    for leaf, path in leaves.items():
        folded = fold(event for node in path for event in _events(node))
        task = issue_text(folded.prompt)
        suffix = f"#node-{leaf}" if len(leaves) > 1 else ""
        yield from admit(
            Trajectory(
                trajectory_id=f"{instance_id}{suffix}",
                instance_id=instance_id,
                task=task,
                steps=folded.steps,
                source=SOURCE,
                model=((tree.get("agent") or {}).get("completion") or {}).get("model"),
                metadata={} if task == folded.prompt.strip() else {"prompt": folded.prompt},
            ),
            folded,
            ledger,
            f"{document.position}{suffix}",
        )


def _leaves(nodes: Sequence[Mapping[str, Any]]) -> dict[Any, list[Mapping[str, Any]]]:
    """Leaf id -> the nodes from the root to it."""
    by_id = {node["node_id"]: node for node in nodes}
    parents = {node.get("parent_id") for node in nodes}
    paths = {}
    for node_id, node in by_id.items():
        if node_id in parents:
            continue
        path, seen = [node], {node_id}
        while (parent := path[-1].get("parent_id")) in by_id and parent not in seen:
            seen.add(parent)
            path.append(by_id[parent])
        paths[node_id] = path[::-1]
    return paths


def _events(node: Mapping[str, Any]) -> Iterator[Event]:
    if isinstance(node.get("message"), str):
        yield Said(text=node["message"])
    completion = (node.get("completions") or {}).get("build_action") or {}
    response = completion.get("response")
    if isinstance(response, Mapping) and response.get("content"):
        yield anthropic_reply(response["content"])
        if observation := node.get("observation") or node.get("output"):
            yield Result(text=observation.get("message") or "")
