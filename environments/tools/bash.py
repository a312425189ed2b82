"""The ``bash`` tool: one command in a shell of its own, and what the agent is shown of its outcome.

Every command starts in the same folder; nothing (``cd``, variables) is carried over from the last one.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OUTPUT_LIMIT = 16_000  # characters of output that the agent is shown
COMMAND_LIMIT = 120_000  # bytes of a command; Linux takes no argument above 131,071


StopReason = Literal["time", "disk", "output"]  # which limit a command ran into


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    output: str  # stdout and stderr in the order they came
    exit_code: int | None  # None: stopped at a limit
    stopped: StopReason | None = None
    left_out: int = 0  # bytes that were not kept; a mark stands for them in the middle of output


def run_command(command: str, *, cwd: Path, env: Mapping[str, str], timeout: float) -> CommandResult:
    """Run a command on this machine; at the limit (seconds) it is killed with everything it started."""
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    exit_code: int | None
    stopped: StopReason | None = None
    try:
        output, _ = process.communicate(timeout=timeout)
        exit_code = process.returncode
    except subprocess.TimeoutExpired:
        _kill_group(process)
        output, _ = process.communicate()
        exit_code, stopped = None, "time"
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    return CommandResult(
        output=output.decode("utf-8", errors="replace"), exit_code=exit_code, stopped=stopped
    )


def unfit(command: str) -> str | None:
    """Why no shell can be given this command, or None.

    >>> unfit("a\\0b")
    'The command has a NUL character.'
    """
    if "\0" in command:
        return "The command has a NUL character."
    try:
        size = len(command.encode())
    except UnicodeEncodeError:
        return "The command has characters that are no text (half of a surrogate pair)."
    if size > COMMAND_LIMIT:
        return f"The command is too long: {size} bytes, and {COMMAND_LIMIT} are the limit. Write the file in parts."
    return None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended between the time-out and here
        os.killpg(process.pid, signal.SIGKILL)


def observation(result: CommandResult, *, timeout: float, limit: int = OUTPUT_LIMIT) -> str:
    """What the agent sees of a result.

    >>> observation(CommandResult(output="a.py\\n", exit_code=0), timeout=60)
    'a.py'
    >>> observation(CommandResult(output="", exit_code=1), timeout=60)
    'The command printed nothing.\\n[exit code 1]'
    """
    hidden = result.left_out - len(left_out_mark(result.left_out)) if result.left_out else 0
    lines = [clip(result.output.rstrip(), limit, hidden=hidden) or "The command printed nothing."]
    if result.exit_code is None:
        why = {"disk": "it wrote too much to the disk", "output": "it printed too much"}
        lines.append(f"[stopped: {why.get(result.stopped or '', f'still running after {timeout:g} s')}]")
    elif result.exit_code != 0:
        lines.append(f"[exit code {result.exit_code}]")
    return "\n".join(lines)


def clip(text: str, limit: int, *, hidden: int = 0) -> str:
    """Keep head and tail of a text that is longer than ``limit`` characters, and say what was left out.

    ``hidden``: so many more stood in the middle of it.

    >>> clip("abcdefghij", 4)
    'ab\\n[6 characters left out]\\nij'
    """
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 2, limit // 2
    left_out = len(text) - limit + hidden
    return f"{text[:head]}\n[{left_out} characters left out]\n{text[len(text) - tail :]}"


def left_out_mark(size: int) -> str:
    return f"\n[{size} bytes left out]\n"
