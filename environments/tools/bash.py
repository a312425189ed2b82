"""The ``bash`` tool: run one command in a fresh shell and make the observation of its result.

Every command starts in the same folder; no state (``cd``, variables) carries over from the previous one.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

OUTPUT_LIMIT = 16_000  # characters of output in an observation
COMMAND_LIMIT = 120_000  # bytes of a command; Linux accepts no argument above 131,071

StopReason = Literal["time", "disk", "output"]  # the limit that a command reached


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    output: str  # stdout and stderr in the order they came
    exit_code: int | None  # None: stopped at a limit
    stopped: StopReason | None = None
    omitted_bytes: int = 0  # that were not kept; a mark replaces them in the middle of output


def run_command(command: str, *, cwd: Path, env: Mapping[str, str], timeout: float) -> CommandResult:
    """Run a command on this machine; kill it with all its children after ``timeout`` seconds."""
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
    text = output.decode("utf-8", errors="replace")
    return CommandResult(output=text, exit_code=exit_code, stopped=stopped)


def command_error(command: str) -> str | None:
    """Return why this command cannot be passed to a shell, or None.

    >>> command_error("a\\0b")
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
    with contextlib.suppress(ProcessLookupError):  # it ended after the timeout
        os.killpg(process.pid, signal.SIGKILL)


def observation(result: CommandResult, *, timeout: float, limit: int = OUTPUT_LIMIT) -> str:
    """Return the observation of a command's result.

    >>> observation(CommandResult(output="a.py\\n", exit_code=0), timeout=60)
    'a.py'
    >>> observation(CommandResult(output="", exit_code=1), timeout=60)
    'The command printed nothing.\\n[exit code 1]'
    """
    hidden = result.omitted_bytes - len(omission_mark(result.omitted_bytes)) if result.omitted_bytes else 0
    lines = [clip(result.output.rstrip(), limit, hidden=hidden) or "The command printed nothing."]
    if result.exit_code is None:
        why = {"disk": "it wrote too much to the disk", "output": "it printed too much"}
        lines.append(f"[stopped: {why.get(result.stopped or '', f'still running after {timeout:g} s')}]")
    elif result.exit_code != 0:
        lines.append(f"[exit code {result.exit_code}]")
    return "\n".join(lines)


def clip(text: str, limit: int, *, hidden: int = 0) -> str:
    """Shorten a text of more than ``limit`` characters to its head and tail, with the number omitted between them.

    ``hidden``: characters that were already omitted from its middle.

    >>> clip("abcdefghij", 4)
    'ab\\n[6 characters left out]\\nij'
    """
    if len(text) <= limit:
        return text
    head, tail = limit - limit // 2, limit // 2
    omitted = len(text) - limit + hidden
    return f"{text[:head]}\n[{omitted} characters left out]\n{text[len(text) - tail :]}"


def omission_mark(size: int) -> str:
    return f"\n[{size} bytes left out]\n"
