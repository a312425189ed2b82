"""Moatless node trees: 0.4, whose nodes hold the raw reply, and 1.x, whose nodes hold steps of actions."""

from collections.abc import Iterator, Sequence

from trajectories.conversation.events import Event, Reply, Result, UserMessage, record
from trajectories.conversation.fields import path_to, text_at, value_at
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import anthropic_reply, make_reply, openai_reply, text_of
from trajectories.sources.documents import Document
from trajectories.types import JSON, JSONObject, Trajectory

# The names of actions whose class is called otherwise than ``<name>Args``.
_NAMES = {
    "CleanupContextArgs": "Cleanup",
    "CreatePythonFileArgs": "CreateFile",
    "EditActionArguments": "str_replace_editor",
    "GlobArgs": "GlobTool",
    "RespondArgs": "SendMessage",
    "VerifiedFinishArgs": "Finish",
}
_CLASS = "action_args_class"
_THOUGHTS = "thoughts"  # an argument of every action: prose that no tool receives


def read(document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each leaf: a searched tree has several paths, a plain run one."""
    tree = document.value
    instance_id = _instance(tree) or document.path.parent.name or document.name
    nodes = {
        node["node_id"]: node for node in _objects(tree["nodes"]) if isinstance(node.get("node_id"), int)
    }
    if odd := len(tree["nodes"]) - len(nodes):
        ledger.note("node_without_an_id_of_its_own", document.position, odd)
    parents = {_parent(node) for node in nodes.values()}
    leaves = [node for node in nodes if node not in parents]
    for leaf in leaves:
        path = path_to(leaf, nodes, _parent)
        suffix = f"#node-{leaf}" if len(leaves) > 1 else ""
        yield from record(
            (event for node in path for event in _events(node)),
            document,
            ledger,
            source="moatless",
            instance_id=instance_id,
            trajectory_id=f"{instance_id}{suffix}",
            position=f"{document.position}{suffix}",
            model=_model(tree.get("agent")),
            resolved=_object(path[-1].get("evaluation_result")).get("resolved"),
            patch=_patch(path),
        )


def _parent(node: JSONObject) -> int | None:
    parent = node.get("parent_id")
    return parent if isinstance(parent, int) else None


def _instance(tree: JSONObject) -> str | None:
    return text_at(_object(tree.get("metadata")), "instance_id")


def _model(agent: JSON) -> str | None:
    holders = (_object(_object(agent).get(key)) for key in ("completion_model", "completion"))
    return next((model for holder in holders if (model := text_at(holder, "model"))), None)


def _patch(path: Sequence[JSONObject]) -> str | None:
    """Return the diff that Moatless submits: those of all files of the last node's context, one after the other."""
    context = next((node["file_context"] for node in reversed(path) if node.get("file_context")), None)
    diffs = (text_at(file, "patch") for file in _objects(_object(context).get("files")))
    return "\n".join(diff for diff in diffs if diff) or None


def _events(node: JSONObject) -> Iterator[Event]:
    for key in ("user_message", "message"):
        if isinstance(node.get(key), str):
            yield UserMessage(text=node[key])
            break
    response = _response(node)
    if content := response.get("content"):
        yield anthropic_reply(content)
    elif choices := response.get("choices"):
        message = value_at(choices[0], "message") or {}
        yield openai_reply(text_of(message.get("content")), message.get("tool_calls") or [])
    elif node.get("action_steps") or node.get("assistant_message"):
        yield from _turn(node)
        return
    else:
        return
    observation = node.get("observation") or node.get("output")
    if isinstance(observation, dict):
        yield Result(text=text_of(observation.get("message")))


def _response(node: JSONObject) -> JSONObject:
    """Return the raw reply that made the node's action; only 0.4 keeps it."""
    return _object(_object(_object(node.get("completions")).get("build_action")).get("response"))


def _turn(node: JSONObject) -> Iterator[Event]:
    """Yield the turn of a 1.x node: its message, its actions, what each of them gave."""
    steps = _objects(node.get("action_steps"))
    texts = [node.get("assistant_message"), _object(node.get("thoughts")).get("text")]
    calls: list[tuple[JSON, JSON, JSON]] = []
    for number, step in enumerate(steps, 1):
        arguments = dict(_object(step.get("action")))
        texts.append(arguments.pop(_THOUGHTS, None))
        calls.append((_name(arguments.pop(_CLASS, None)), arguments, f"tool_{number}"))
    thoughts = dict.fromkeys(text for text in texts if isinstance(text, str) and text)
    reply = make_reply("\n\n".join(thoughts), calls)
    yield Reply(thought=reply.thought, calls=reply.calls, reasoning=_thinking(node), problem=reply.problem)
    for number, step in enumerate(steps, 1):
        observation = _object(step.get("observation"))
        if observation:
            text = text_of(observation.get("message") or observation.get("error"))
            yield Result(text=text, call_ids=(f"tool_{number}",))


def _thinking(node: JSONObject) -> str:
    found = (block.get("thinking") for block in _objects(node.get("thinking_blocks")))
    return "\n\n".join(text for text in found if isinstance(text, str))


def _name(path: JSON) -> str:
    """Return the name of an action from the path of its arguments' class, as the model was told it.

    >>> _name("moatless.actions.read_file.ReadFileArgs"), _name("moatless.actions.glob.GlobArgs")
    ('ReadFile', 'GlobTool')
    """
    name = path.rpartition(".")[2] if isinstance(path, str) else ""
    return _NAMES.get(name, name.removesuffix("Args"))


def _object(value: JSON) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _objects(value: JSON) -> list[JSONObject]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
