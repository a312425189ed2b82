"""Do the prompts list the tools that the expert's actions call?"""

from collections.abc import Iterator

from harness.data.tools import lists_tools, unlisted_calls
from harness.training.checks.base import Finding, Subject, graded, note, percent
from srl_agent.formats.base import describe_tools

_SHOWN = 6  # kinds of calls that are listed


def check_tools(subject: Subject) -> Iterator[Finding]:
    """Count the training steps whose target calls a tool, or uses an argument, that its prompt does not list."""
    data = subject.data
    if data is None or not lists_tools(data.action_format):
        return
    listed = data.action_format.tools
    yield note("tools in the prompts: " + "; ".join(describe_tools(listed).splitlines()))
    found = unlisted_calls(map(data.calls, data.train), listed)
    if found.wrong:
        share = percent(found.wrong, found.turns)
        kinds = []
        for call, count in found.by_call.most_common(_SHOWN):
            ref = data.train[found.first[call]]
            where = f"{data.trajectory(ref.trajectory).trajectory_id} step {ref.step}"
            kinds.append(f"{call} in {count} ({where})")
        more = f", and {left} more" if (left := len(found.by_call) - _SHOWN) > 0 else ""
        yield graded(
            f"actions.tools: {found.wrong} of {found.turns} training targets ({share}) call what their prompt does not "
            f"list: {', '.join(kinds)}{more}; set actions.tools=auto, which lists the tools that the data calls",
            found.wrong / found.turns,
        )
    called = {name for ref in data.train for name, _ in data.calls(ref)}
    if unused := [name for name in listed if name not in called]:
        yield note(f"tools that the prompts list and no training target calls: {', '.join(unused)}")
