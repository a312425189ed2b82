"""Rules by agent: what Harbor's converters write in place of its own words and calls, and how to read it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from trajectories.conversation.events import SEVERAL_BLOCKS
from trajectories.conversation.reasoning import join_reasoning
from trajectories.readers.chat.text_calls import text_reply
from trajectories.readers.harbor.atif_steps import RESULT, AtifCall, AtifStep
from trajectories.types import JSON

OTHER_ARGUMENTS = "arguments_of_another_call"
TWICE = "call_recorded_twice"

_MINI, _OPENHANDS, _SWE_AGENT = "mini-swe-agent", "openhands", "swe-agent"
_RUNNING, _READING = "Running command: ", "Reading file: "
# OpenHands' own descriptions of its actions and observations.
_DESCRIPTIONS = (
    _RUNNING, _READING, "Running Python code interactively: ", "Writing file: ", "I am thinking...: ",
    "I am browsing the URL: ", "I am interacting with the ", "I read the file ", "I edited the file ",
    "I wrote to the file ", "All done! What's next on the agenda?",
)  # fmt: skip
_RAW_ACTION = "swe_agent_action"
_BLOCK = re.compile(r"```(?:mswea_bash_command|bash)[ \t\r]*\n")


def as_the_agent_wrote(steps: Sequence[AtifStep], agent: str | None) -> list[AtifStep]:
    """Return the steps with the agent's own words and calls."""
    found = list(_without_repeats(steps))
    if agent == _SWE_AGENT:
        found = [_shell_line(step) for step in found]
    if agent == _MINI:  # Harbor writes a reply's text as its reasoning too
        found = [replace(one, reasoning="") if one.reasoning == one.text else one for one in found]
    described = any(step.calls and step.text.startswith(_DESCRIPTIONS) for step in found)
    if agent == _OPENHANDS and described:
        return list(_undescribed(found))
    if not any(step.calls for step in found):
        read = _with_its_block if agent == _MINI else _with_calls_of_its_text
        found = [read(step) if step.source == "agent" else step for step in found]
    return found


def _without_repeats(steps: Sequence[AtifStep]) -> Iterator[AtifStep]:
    """Yield the steps without calls that were written before, under the same id, and have no result yet."""
    waiting: dict[str, AtifCall] = {}
    for step in steps:
        known = [call for call in step.calls if call[2] and waiting.get(str(call[2])) == call]
        if known:
            left = tuple(call for call in step.calls if call not in known)
            notes = (*step.notes, *[TWICE] * len(known))
            text = step.text if left else ""
            step = replace(step, calls=left, text=text, notes=notes, source=step.source if left else RESULT)
        waiting.update({str(call[2]): call for call in step.calls if call[2]})
        for call_id, _ in step.results:
            waiting.pop(str(call_id), None)
        if any(call_id is None for call_id, _ in step.results):
            waiting.clear()
        yield step


def _shell_line(step: AtifStep) -> AtifStep:
    """Return a step of SWE-agent: the line that it ran, and the thought that Harbor has as reasoning."""
    lines = [_raw_action(call) for call in step.calls]
    if not lines or None in lines:
        return step
    calls: tuple[AtifCall, ...] = tuple(
        ("bash", {"command": line}, call[2]) for line, call in zip(lines, step.calls, strict=True)
    )
    return replace(step, calls=calls, text=step.reasoning or step.text, reasoning="")


def _raw_action(call: AtifCall) -> str | None:
    name, arguments, _ = call
    line = arguments.get("raw_action") if isinstance(arguments, dict) else None
    return line.strip("\n") if name == _RAW_ACTION and isinstance(line, str) else None


def _undescribed(steps: Sequence[AtifStep]) -> Iterator[AtifStep]:
    """Yield OpenHands' steps without its descriptions of them; the agent's own text is not in these documents.

    Harbor gives each call of a reply the arguments of the reply's first one. The description tells the right ones of
    a command and of a file that is read.
    """
    before: AtifCall | None = None
    for step in steps:
        if step.calls:
            call = step.calls[0]
            corrected = _described_call(step.text, call)
            if corrected != call:
                step = replace(step, calls=(corrected,), notes=(*step.notes, OTHER_ARGUMENTS))
            elif before and call[1] and call[1] == before[1] and call[0] != before[0]:
                step = replace(step, context=step.context or OTHER_ARGUMENTS)
            step, before = replace(step, text=""), call
        yield step


def _described_call(text: str, call: AtifCall) -> AtifCall:
    name, arguments, call_id = call
    given = arguments if isinstance(arguments, dict) else {}
    right: dict[str, JSON] = {}
    if text.startswith(_RUNNING) and given.get("command") != text.removeprefix(_RUNNING):
        right = {"command": text.removeprefix(_RUNNING)}
    elif text.startswith(_READING) and given.get("path") != text.removeprefix(_READING):
        right = {"command": "view", "path": text.removeprefix(_READING)}
    return (name, right, call_id) if right else call


def _with_calls_of_its_text(step: AtifStep) -> AtifStep:
    """Return a step with the calls that its text holds, where a document has raw replies and no other calls."""
    reply = text_reply(step.text, step.reasoning)
    calls = tuple((call.action.name, dict(call.action.arguments), call.call_id) for call in reply.calls)
    if not calls and not reply.problem:
        return step
    return replace(
        step,
        text=reply.thought,
        reasoning=join_reasoning(reply.reasoning),
        calls=calls,
        problem=reply.problem,
    )


def _with_its_block(step: AtifStep) -> AtifStep:
    """Return a step of mini-swe-agent with the command in its text: the scaffold runs the only block."""
    blocks = list(_BLOCK.finditer(step.text))
    if len(blocks) != 1:
        return replace(step, problem=SEVERAL_BLOCKS) if blocks else step
    command, closed, _ = step.text[blocks[0].end() - 1 :].partition("\n```")
    if not closed:
        return step
    return replace(
        step, text=step.text[: blocks[0].start()], calls=(("bash", {"command": command.strip()}, None),)
    )
