"""The event stream of ``codex exec --json``: what the program did, item by item, without the user's prompt."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from trajectories.conversation.events import Event, Reply, Result, fold, record
from trajectories.conversation.fields import text_at
from trajectories.ledger import FileLedger
from trajectories.readers.chat.messages import make_reply, text_of
from trajectories.readers.sessions.without_prompt import instance_name, name_as_task
from trajectories.sources.documents import Document
from trajectories.sources.tasks import task_for
from trajectories.types import JSON, JSONObject, Trajectory

INCOMPLETE = "call_without_its_text"  # a change of files, of which the stream holds only the paths
FILE_CHANGE = "file_change"
LAST_MESSAGE = "last_message"  # the report to the user after the last call

_EVENTS = frozenset({"thread.started", "turn.started", "turn.completed", "turn.failed", "error"})
_ITEM_EVENTS = frozenset({"item.started", "item.updated", "item.completed"})
_PLAN = "todo_list"
_PROSE = frozenset({"agent_message", "plan"})
_NO_CALLS = _PROSE | {"reasoning", "error"}  # an error is the program's


def is_event(line: JSONObject) -> bool:
    """Return whether a line is of such a stream."""
    kind = line.get("type")
    return isinstance(kind, str) and (kind in _ITEM_EVENTS or kind == "thread.started")


def without_last_message(events: Iterable[Event]) -> list[Event]:
    """Return the events, the last turn marked as no step if it is text alone: nothing comes after it."""
    found = list(events)
    last = next((at for at in reversed(range(len(found))) if isinstance(found[at], Reply)), None)
    reply = None if last is None else found[last]
    if last is not None and isinstance(reply, Reply) and not reply.calls and not reply.problem:
        found[last] = replace(reply, problem=LAST_MESSAGE)
    return found


def read(lines: Sequence[JSONObject], document: Document, ledger: FileLedger) -> Iterator[Trajectory]:
    """Read one trajectory for each thread. A turn ends where an item begins after the end of a call."""
    known = _EVENTS | _ITEM_EVENTS
    if unknown := sum(line.get("type") not in known for line in lines):
        ledger.note("unknown_line", document.position, unknown)
    threads = _threads(lines)
    for number, (thread, runs) in enumerate(threads.items(), 1):
        position = document.position if len(threads) == 1 else f"{document.position} thread {number}"
        yield from _read_thread(thread, runs, position, document, ledger)


def _threads(lines: Iterable[JSONObject]) -> dict[str | None, list[list[JSONObject]]]:
    """Return the lines of each run of the program by thread: a run that resumes one counts its items anew."""
    threads: dict[str | None, list[list[JSONObject]]] = {}
    run: list[JSONObject] = []
    thread: str | None = None  # the first line may be missing
    for line in lines:
        if line.get("type") == "thread.started":
            thread, run = text_at(line, "thread_id"), []
        elif run or line.get("type") in _ITEM_EVENTS:
            if not run:
                threads.setdefault(thread, []).append(run)
            run.append(line)
    return threads or {thread: []}


def _read_thread(
    thread: str | None,
    runs: Sequence[Sequence[JSONObject]],
    position: str,
    document: Document,
    ledger: FileLedger,
) -> Iterator[Trajectory]:
    turns = [turn for run in runs for turn in _turns(run)]
    items = [item for turn in turns for item in turn.values()]
    if odd := sum(_kind(item) not in _CALLS and _kind(item) not in _NO_CALLS for item in items):
        ledger.note("item_not_understood", position, odd)
    folded = fold(without_last_message(event for turn in turns for event in _events(list(turn.values()))))
    changed = [any(action.name == FILE_CHANGE for action in step.actions) for step in folded.steps]
    if any(changed):
        ledger.note(INCOMPLETE, position, sum(changed))
        steps = zip(folded.steps, changed, strict=True)
        folded = replace(folded, steps=tuple(replace(s, target=False) if c else s for s, c in steps))
    instance_id = instance_name(document)
    task = task_for(document, instance_id) or name_as_task(instance_id, folded, ledger, position)
    yield from record(
        folded,
        document,
        ledger,
        source="codex",
        instance_id=instance_id,
        trajectory_id=thread,
        position=position,
        prompt=task,
        task=task,
    )


def _kind(item: JSONObject) -> str:
    return str(item.get("type") or item.get("item_type"))


def _turns(lines: Iterable[JSONObject]) -> list[dict[str, JSONObject]]:
    """Return the items of each turn by id, in the order in which they began, each in its last state.

    A plan is one item for all calls that changed it, and each state of it is a call; the end repeats the last one.
    """
    turns: list[dict[str, JSONObject]] = []
    turn_of: dict[str, dict[str, JSONObject]] = {}
    plans: set[str] = set()
    ended = True  # whether a call of the last turn has ended
    for number, line in enumerate(lines):
        item, happened = line.get("item"), line.get("type")
        if happened not in _ITEM_EVENTS or not isinstance(item, dict):
            ended = ended or happened == "turn.started"
            continue
        key = str(item.get("id", f"line {number}"))
        is_plan = _kind(item) == _PLAN
        if is_plan:
            if key in plans and happened == "item.completed":
                continue
            plans.add(key)
            key = f"{key} {number}"
        if key not in turn_of:
            if ended:
                turns.append({})
                ended = False
            turn_of[key] = turns[-1]
        turn_of[key][key] = item
        ended = ended or is_plan or (happened == "item.completed" and _kind(item) in _CALLS)
    return turns


def _events(items: Sequence[JSONObject]) -> Iterator[Event]:
    prose = [text_at(item, "text") or "" for item in items if _kind(item) in _PROSE]
    reasoning = [text_at(item, "text") or "" for item in items if _kind(item) == "reasoning"]
    made = [(str(item.get("id")), _CALLS[_kind(item)], item) for item in items if _kind(item) in _CALLS]
    if not prose and not made:
        return  # reasoning alone is no turn
    calls = [(call.name(item), call.arguments(item), key) for key, call, item in made]
    yield make_reply("\n".join(filter(None, prose)), calls, "\n".join(filter(None, reasoning)))
    for key, call, item in made:
        if text := call.result(item):
            yield Result(text=text, call_ids=(key,))


@dataclass(frozen=True, kw_only=True)
class _Call:
    """How an item tells of a call."""

    name: Callable[[JSONObject], JSON]
    arguments: Callable[[JSONObject], JSON]
    result: Callable[[JSONObject], str] = lambda item: ""


def _command_output(item: JSONObject) -> str:
    output, code = text_at(item, "aggregated_output") or "", item.get("exit_code")
    if item.get("status") == "declined":
        return f"{output}\n[declined]"
    return f"{output}\n[exit code: {code}]" if code else output


def _mcp_result(item: JSONObject) -> str:
    result, error = item.get("result"), item.get("error")
    if isinstance(error, dict):
        return text_at(error, "message") or ""
    if not isinstance(result, dict):
        return result if isinstance(result, str) else ""
    try:
        return text_of(result.get("content")) or json.dumps(result.get("structured_content"))
    except TypeError:
        return json.dumps(result)


def _agents(item: JSONObject) -> str:
    states = item.get("agents_states")
    found = states.values() if isinstance(states, dict) else []
    return "\n".join(
        text for state in found if isinstance(state, dict) if (text := text_at(state, "message"))
    )


def _fields(*names: str) -> Callable[[JSONObject], JSON]:
    return lambda item: {name: item[name] for name in names if item.get(name) is not None}


def _named(name: str) -> Callable[[JSONObject], JSON]:
    return lambda item: name


_CALLS: Mapping[str, _Call] = {
    "command_execution": _Call(name=_named("shell"), arguments=_fields("command"), result=_command_output),
    "file_change": _Call(
        name=_named(FILE_CHANGE),
        arguments=_fields("changes"),
        result=lambda item: text_at(item, "status") or "",
    ),
    "mcp_tool_call": _Call(
        name=lambda item: item.get("tool"), arguments=lambda item: item.get("arguments"), result=_mcp_result
    ),
    "collab_tool_call": _Call(
        name=lambda item: item.get("tool"),
        arguments=_fields("prompt", "receiver_thread_ids"),
        result=_agents,
    ),
    "web_search": _Call(name=_named("web_search"), arguments=_fields("query", "action")),
    _PLAN: _Call(name=_named("update_plan"), arguments=_fields("items")),
}
