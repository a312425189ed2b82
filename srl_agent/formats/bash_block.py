"""One fenced shell command, as in mini-swe-agent's text mode."""

import re
from collections.abc import Mapping, Sequence

from srl_agent.formats.base import FormatError, UnrepresentableActionError
from trajectories import Action

# mini-swe-agent's: as the first line of a command's output it ends the rollout.
SUBMISSION_MARK = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"

_BLOCK = re.compile(r"(?P<fence>`{3,})bash\n(?P<command>.*)\n(?P=fence)", re.DOTALL)
_BACKTICKS = re.compile(r"^`{3,}", re.MULTILINE)


class BashBlockSyntax:
    """A ``bash`` call with only a command, between fences longer than any in the command."""

    name = "bash-block"

    def instructions(self, tools: Mapping[str, Sequence[str]]) -> str:
        return (
            "An action is one shell command in a fenced block:\n```bash\nCOMMAND\n```\n"
            f"The command that ends your work is `echo {SUBMISSION_MARK}`."
        )

    def render(self, actions: Sequence[Action]) -> str:
        if len(actions) != 1:
            raise UnrepresentableActionError(f"bash-block: {len(actions)} actions in a turn, it holds one")
        action = actions[0]
        command = action.arguments.get("command")
        if action.name != "bash" or action.arguments.keys() != {"command"} or not isinstance(command, str):
            raise UnrepresentableActionError(f"bash-block: {action.name} is not a plain shell command")
        longest = max((len(run) for run in _BACKTICKS.findall(command)), default=2)
        fence = "`" * (longest + 1)
        return f"{fence}bash\n{command}\n{fence}"

    def parse(self, text: str) -> tuple[Action, ...]:
        block = _BLOCK.fullmatch(text.strip())
        if block is None:
            raise FormatError("the action is not one fenced ```bash block")
        if re.search(rf"^{block['fence']}", block["command"], re.MULTILINE):
            raise FormatError("more than one fenced block")
        return (Action(name="bash", arguments={"command": block["command"]}),)
