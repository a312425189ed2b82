"""Converting a Claude Code session in which parallel calls leave branches, by its number of lines.

    python benchmarks/claude_sessions.py [--lines 3000 12001 48000] [--baseline PATH] [--turns 3]

In each turn of the made session the agent makes three calls at once. Every call is a line of its own, and so is every
result, which hangs on the line of its call; the next turn hangs on the last result only. So two results of each turn
are ends of branches on which nothing follows. The right answer is one trajectory with all turns.

Seconds are those of ``harness.convert`` from the file to the store, without imports, the best of ``--turns``; each
measurement is in a process of its own. ``--baseline`` is a checkout of an older version, which reads the same file. The
last line is one JSON object; ``growth`` is the exponent between the smallest and the largest session, ratios are the
baseline's seconds over ours.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CALLS = 3  # of each turn


def session(lines: int) -> Iterator[dict[str, Any]]:
    """Yield the lines of a session: a prompt, then turns of parallel calls and their results."""
    yield _line("prompt", None, "user", "Read every file of the package.")
    parent, made, turn = "prompt", 1, 0
    while made < lines:
        turn += 1
        calls = min(CALLS, max((lines - made) // 2, 1))
        for number in range(calls):
            name = f"call-{turn}-{number}"
            used = {"type": "tool_use", "id": name, "name": "Read", "input": {"file_path": f"/srv/{name}.py"}}
            yield _line(name, parent, "assistant", [used], id=f"reply-{turn}", model="claude")
            parent = name
        made += calls
        for number in range(min(calls, lines - made)):
            name = f"call-{turn}-{number}"
            parent = f"result-{turn}-{number}"
            yield _line(
                parent, name, "user", [{"type": "tool_result", "tool_use_id": name, "content": "x = 1"}]
            )
            made += 1


def _line(uuid: str, parent: str | None, role: str, content: Any, **message: Any) -> dict[str, Any]:
    said = {"role": role, "content": content, **message}
    return {"type": role, "uuid": uuid, "parentUuid": parent, "sessionId": "made", "message": said}


def measure(source: Path) -> dict[str, Any]:
    """Convert a session with the package that is imported here, and count what came out."""
    from harness.convert import main as convert

    out = source.with_suffix(".out.jsonl")
    started = time.perf_counter()
    with redirect_stdout(StringIO()):
        convert([str(source), "--out", str(out), "--no-card", "--force"])
    seconds = time.perf_counter() - started
    steps = [len(json.loads(row)["steps"]) for row in out.open(encoding="utf-8")]
    return {"seconds": round(seconds, 3), "trajectories": len(steps), "steps": sum(steps)}


def measured(build: Path, source: Path, turns: int) -> dict[str, Any]:
    """Return the fastest of several measurements of a build, each in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(build)}
    words = [sys.executable, __file__, "--measure", str(source)]
    runs = [
        subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        for _ in range(turns)
    ]
    return min((json.loads(run.stdout) for run in runs), key=lambda found: float(found["seconds"]))


def compare(lines: int, options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "made.jsonl"
        source.write_text("".join(json.dumps(line) + "\n" for line in session(lines)), encoding="utf-8")
        row: dict[str, Any] = {"lines": lines, "ours": measured(ROOT, source, options.turns)}
        if options.baseline:
            row["baseline"] = measured(options.baseline.resolve(), source, 1)
            row["ratio"] = round(row["baseline"]["seconds"] / row["ours"]["seconds"], 1)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lines", type=int, nargs="+", default=[3000, 12001, 48000])
    parser.add_argument("--baseline", type=Path, metavar="PATH", help="a checkout of an older version")
    parser.add_argument("--turns", type=int, default=3, help="measurements of ours; the baseline has one")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    rows = []
    for lines in options.lines:
        rows.append(row := compare(lines, options))
        text = f"{lines:7d} lines: {row['ours']['seconds']:8.3f} s, {row['ours']['steps']} steps"
        if options.baseline:
            text += f"; baseline {row['baseline']['seconds']:8.3f} s, {row['ratio']:.0f} times as long"
        print(text, flush=True)
    first, last = rows[0], rows[-1]
    found: dict[str, Any] = {"benchmark": "claude_sessions", "sizes": rows}
    if last["lines"] > first["lines"]:
        times = last["ours"]["seconds"] / first["ours"]["seconds"]
        found["growth"] = round(math.log(times) / math.log(last["lines"] / first["lines"]), 2)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
