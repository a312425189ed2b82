"""Moatless node trees: every node holds the raw Anthropic reply that made its action."""

from collections.abc import Iterator, Mapping

from trajectories.ledger import FileLedger
from trajectories.readers.chat import anthropic_reply
from trajectories.readers.events import Event, Result, UserMessage, record
from trajectories.readers.fields import path_to, value_at
from trajectories.sources.documents import Document
from trajectories.types import JSONObject, Trajectory


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each leaf: a searched tree has several paths, a plain run one."""
    tree = document.value
    instance_id = value_at(tree, "metadata", "instance_id") or document.path.parent.name or document.name
    nodes = {node["node_id"]: node for node in tree["nodes"]}
    parents = {node.get("parent_id") for node in tree["nodes"]}
    leaves = [node for node in nodes if node not in parents]
    for leaf in leaves:
        path = path_to(leaf, nodes, lambda node: node.get("parent_id"))
        suffix = f"#node-{leaf}" if len(leaves) > 1 else ""
        yield from record(
            (event for node in path for event in _events(node)),
            document,
            ledger,
            source="moatless",
            instance_id=instance_id,
            trajectory_id=f"{instance_id}{suffix}",
            position=f"{document.position}{suffix}",
            model=value_at(tree, "agent", "completion", "model"),
        )


def _events(node: JSONObject) -> Iterator[Event]:
    if isinstance(node.get("message"), str):
        yield UserMessage(text=node["message"])
    response = value_at(node, "completions", "build_action", "response")
    if isinstance(response, Mapping) and response.get("content"):
        yield anthropic_reply(response["content"])
        if observation := node.get("observation") or node.get("output"):
            yield Result(text=observation.get("message") or "")
