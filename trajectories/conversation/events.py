"""From the events of a conversation to a recorded trajectory. Here calls meet their results."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from trajectories.conversation.fields import as_verdict
from trajectories.ledger import FileLedger
from trajectories.schema_check import check_schema
from trajectories.sources.documents import Document
from trajectories.sources.tasks import task_for
from trajectories.task_ids import task_id
from trajectories.types import JSON, Action, JSONObject, Step, Trajectory

NO_ACTION = "no_action"  # an agent turn of prose only
FINAL_MESSAGE = "final_message"  # the same, and the last turn
SEVERAL_BLOCKS = "several_command_blocks"  # the scaffold wants one and ran none
NO_BLOCK = "no_command_block"
EMPTY_TURN = "empty_turn"  # neither prose nor a call
REASONING = "reasoning_kept"  # a turn whose private thinking the source recorded

# Turns that are steps without an action: context for what follows, never a target.
_KEPT_WITHOUT_ACTION = frozenset({NO_ACTION, FINAL_MESSAGE, SEVERAL_BLOCKS, NO_BLOCK})


# Events are not frozen: they are made for every turn, and a frozen one takes twice as long to make.
@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class Call:
    """An action with the id under which its result is given."""

    action: Action
    call_id: str | None = None


@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class Reply:
    """One agent turn."""

    thought: str  # the visible text
    calls: tuple[Call, ...] = ()
    reasoning: str = ""  # the private thinking; it is the step's thought if there is no visible text
    problem: str | None = None  # why it did nothing, or cannot be a step


@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class Result:
    """Output of a tool or the scaffold. It is kept or dropped with the turn that it answers."""

    text: str
    call_ids: tuple[str, ...] = ()  # empty: it answers the turn before it


@dataclass(kw_only=True, slots=True, unsafe_hash=True)
class UserMessage:
    """The user's words. They join the last kept observation, or the prompt before any action."""

    text: str


Event = Reply | Result | UserMessage


@dataclass(frozen=True, kw_only=True)
class Folded:
    """A conversation as steps, with its dropped turns."""

    prompt: str  # the user's messages before the first action
    steps: tuple[Step, ...]
    drops: tuple[tuple[str, int], ...] = ()  # (reason, turn number from 1)
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def turns(self) -> int:
        return len(self.steps) + len(self.drops)


class _Turn:
    """A reply and the results found so far."""

    __slots__ = ("by_call", "loose", "problem", "reasoning", "reply", "thought")

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.problem = reply.problem or (None if reply.calls else NO_ACTION)
        self.reasoning = reply.reasoning.strip()
        self.thought = reply.thought.strip() or self.reasoning
        if self.problem in _KEPT_WITHOUT_ACTION and not self.thought:
            self.problem = EMPTY_TURN
        self.by_call: dict[int, list[str]] = {}
        self.loose: list[str] = []

    @property
    def kept(self) -> bool:
        return self.problem is None or self.problem in _KEPT_WITHOUT_ACTION

    @property
    def has_result(self) -> bool:
        return bool(self.by_call or self.loose)

    def step(self) -> Step:
        texts = [text for index in sorted(self.by_call) for text in self.by_call[index] if text]
        texts += [text for text in self.loose if text]
        actions = tuple([call.action for call in self.reply.calls])
        observation = texts[0] if len(texts) == 1 else "\n".join(texts)
        return Step(thought=self.thought, actions=actions, observation=observation, reasoning=self.reasoning)


def fold(events: Iterable[Event]) -> Folded:
    """Give every turn its results, in the order of its calls, and drop the turns that cannot be a step.

    A turn without an action is a step too, and noted; the next result is its observation.

    >>> ls = Call(action=Action(name="bash", arguments={"command": "ls"}), call_id="c1")
    >>> look, found = Reply(thought="Look.", calls=(ls,)), Result(text="a.py", call_ids=("c1",))
    >>> folded = fold([UserMessage(text="Fix it"), look, found])
    >>> folded.prompt, folded.steps[0].observation
    ('Fix it', 'a.py')
    """
    prompt: list[str] = []
    turns: list[_Turn] = []
    calls: dict[str, tuple[_Turn, int]] = {}  # an id used twice belongs to the later call
    last_kept: _Turn | None = None  # from the first action on: messages before it belong to the prompt
    notes: Counter[str] = Counter()
    for event in events:
        if isinstance(event, Reply):
            turns.append(turn := _Turn(event))
            for index, call in enumerate(event.calls):
                if call.call_id:
                    calls[call.call_id] = (turn, index)
            if turn.problem is None or (last_kept and turn.kept):
                last_kept = turn
        elif isinstance(event, UserMessage):
            (last_kept.loose if last_kept else prompt).append(event.text)
        elif not _answer(event, turns, calls):
            notes["result_without_call"] += 1
    if turns and turns[-1].problem == NO_ACTION:
        turns[-1].problem = FINAL_MESSAGE
    if unanswered := sum(not turn.problem and not turn.has_result for turn in turns[:-1]):
        notes["turn_without_result"] += unanswered
    notes.update(turn.problem for turn in turns if turn.problem and turn.kept)
    if reasoned := sum(turn.kept and bool(turn.reasoning) for turn in turns):
        notes[REASONING] += reasoned
    return Folded(
        prompt="\n\n".join(text for text in prompt if text.strip()),
        steps=tuple(turn.step() for turn in turns if turn.kept),
        drops=tuple((str(turn.problem), number) for number, turn in enumerate(turns, 1) if not turn.kept),
        notes=notes,
    )


def _answer(result: Result, turns: list[_Turn], calls: dict[str, tuple[_Turn, int]]) -> bool:
    """Add a result to the turn that it answers. Return False if there is none."""
    for call_id in result.call_ids:
        if call_id in calls:
            turn, index = calls[call_id]
            turn.by_call.setdefault(index, []).append(result.text)
            return True
    if not turns:
        return False
    last = turns[-1]
    # A turn whose calls could not be read, or that made none, has no ids to match.
    if not result.call_ids or last.problem or any(not call.call_id for call in last.reply.calls):
        last.loose.append(result.text)
        return True
    return False


# The task in the prompts of known scaffolds: what comes first, what begins it, what ends it.
_ISSUE = (
    ("", "Here's the issue text:\nISSUE:\n", "\n\nINSTRUCTIONS:"),
    ("Please solve this issue: ", "", "\n\nYou can execute bash commands and edit files"),
    ("Please fix the following issue ", "\n# Problem Statement\n", "\n\nIMPORTANT: You should ONLY"),
    (
        "You are an AI assistant tasked with solving command-line tasks",
        "Task Description:\n",
        "\n\nCurrent terminal state:",
    ),
)
_ISSUE_TAGS = ("pr_description", "issue_description", "github_issue")
# OpenHands puts an example before the task of a model that calls in its text.
_AFTER_EXAMPLE = "--------------------- NEW TASK DESCRIPTION ---------------------\n"
_AFTER_TASK = "--------------------- END OF NEW TASK DESCRIPTION ---------------------"


def issue_text(prompt: str) -> str:
    """Return the issue inside the prompt of a known scaffold, any other prompt as it is.

    >>> issue_text("<pr_description>\\nIt crashes.\\n</pr_description>\\nFix it.")
    'It crashes.'
    """
    example, _, task = prompt.partition(_AFTER_EXAMPLE)
    if task and "START OF EXAMPLE" in example:
        prompt = task.rpartition(_AFTER_TASK)[0] or task
    for tag in _ISSUE_TAGS:
        if (inner := _in_tag(prompt, tag)) is not None:
            return inner.removeprefix("Consider the following PR description:\n").strip()
    if prompt.startswith("<task>") and (inner := _in_tag(prompt, "task")) is not None:
        return inner.strip()
    for first, begin, end in _ISSUE:
        start = prompt.find(begin, len(first)) if prompt.startswith(first) else -1
        stop = prompt.find(end, start + len(begin)) if start >= 0 else -1
        if stop >= 0:
            return prompt[start + len(begin) : stop].strip()
    return prompt.strip()


def _in_tag(prompt: str, tag: str) -> str | None:
    """Return the lines from the first opening tag that ends a line to the last closing tag that begins one."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = prompt.find(opening)
    while start >= 0:
        line_end = prompt.find("\n", start)
        if line_end < 0:
            return None
        if not prompt[start + len(opening) : line_end].strip():
            break
        start = prompt.find(opening, start + 1)
    if start < 0:
        return None
    stop = prompt.rfind(closing, line_end)
    while stop >= 0:
        line_start = prompt.rfind("\n", line_end, stop)
        if line_start > line_end and not prompt[line_start:stop].strip():
            return prompt[line_end + 1 : line_start]
        stop = prompt.rfind(closing, line_end, stop)
    return None


def record(
    conversation: Folded | Iterable[Event],
    document: Document,
    ledger: FileLedger,
    *,
    source: str,
    instance_id: str | None = None,
    trajectory_id: str | None = None,
    position: str | None = None,
    prompt: str | None = None,
    task: str | None = None,
    model: str | None = None,
    resolved: JSON = None,
    patch: str | None = None,
    metadata: JSONObject | None = None,
) -> Iterator[Trajectory]:
    """Make the trajectory of a conversation, count it and its turns, and yield it unless it is unusable.

    Events are folded first. Empty ids fall back: ``trajectory_id`` to ``instance_id``, that to the document's name. A
    suffix that tells rollouts of one task apart stays in the former and leaves the latter.
    ``prompt``: None for the folded one; it is kept in the metadata if it is more than the task. ``task``: None for the
    issue in the prompt; where both are empty it is the one that was given for the document. ``resolved`` counts as a
    bool, 0 or 1. Raises TypeError or ValueError, before anything is counted, if :func:`check_schema` does.
    """
    folded = conversation if isinstance(conversation, Folded) else fold(conversation)
    prompt = folded.prompt if prompt is None else prompt
    task = (issue_text(prompt) if task is None else task) or task_for(document, instance_id or "")
    rollout_id = instance_id or document.name
    trajectory = Trajectory(
        trajectory_id=trajectory_id or rollout_id,
        instance_id=task_id(rollout_id),
        task=task,
        steps=folded.steps,
        source=source,
        model=model,
        resolved=as_verdict(resolved),
        patch=patch,
        metadata={**(metadata or {}), **({} if task == prompt.strip() else {"prompt": prompt})},
    )
    check_schema(trajectory)
    position = position or document.position
    for what, times in folded.notes.items():
        ledger.note(what, position, times)
    needed = {
        "no_agent_turn": folded.turns,
        "no_step_with_action": any(step.actions for step in folded.steps),
        "no_task": task,
    }
    reason = next((why for why, found in needed.items() if not found), None)
    ledger.trajectory(position, folded.turns, folded.drops, reason)
    if reason is None:
        yield trajectory
