"""The command as a user calls it, mostly in a separate process."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from harness import cli
from harness.convert import main
from trajectories.store import read_trajectories


def row(number: int, text: str = "ls") -> dict[str, Any]:
    messages = [
        {"role": "user", "content": "Fix it"},
        {
            "role": "assistant",
            "content": f"Look.\n\n<function=bash>\n<parameter=command>{text}</parameter>\n</function>",
        },
        {"role": "user", "content": "OBSERVATION:\na.py"},
    ]
    return {"instance_id": f"acme__w-{number}", "messages": messages, "traj_id": f"t{number}"}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def convert(*arguments: object) -> int:
    return cli.run(lambda: main([str(argument) for argument in arguments]))


def command(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "harness.convert", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False, **options)


def ledger_of(folder: Path) -> Any:
    return json.loads((folder / "ledger.json").read_text())


def test_bad_records_are_counted_and_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prose = {
        "instance_id": "x",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "```"}],
    }
    data = write(
        tmp_path / "in.jsonl", row(1), '{"cut": ', prose, {"silly": 1}, {**row(2), "messages": 5}, row(3)
    )
    out = tmp_path / "o" / "expert.jsonl"
    assert convert(data, "--out", out) == 0
    assert [t.trajectory_id for t in read_trajectories(out)] == ["t1", "t3"]
    ledger = ledger_of(out.parent)
    dropped = {"no_step_with_action": 1, "not_json": 1, "unknown_format": 2}
    assert ledger["total"]["trajectories"] == {"read": 6, "kept": 2, "dropped": dropped}
    assert ledger["total"]["steps"] == {"read": 3, "kept": 2, "dropped": {"no_step_with_action": 1}}
    text = json.dumps(ledger)
    assert f"{data}:2: " in text
    assert ledger["total"]["notes"] == {"final_message": 1, "only_fenced_blocks": 1}
    assert f"{data}:3" in text
    assert "swe-smith" in capsys.readouterr().out


def test_nothing_left_is_exit_1_with_the_reason_and_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "in.json", {"silly": 1})
    out = tmp_path / "expert.jsonl"
    assert convert(data, "--out", out) == 1
    error = capsys.readouterr().err
    assert "no trajectory is left" in error
    assert f"{data}: an object with the keys 'silly' is of none of the formats adp, " in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.json", "ledger.json"]
    good = write(tmp_path / "good.jsonl", row(1))
    assert convert(good, "--out", out) == 0  # the next attempt needs no --force
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "expert.card.md", "expert.jsonl", "good.jsonl", "in.json", "ledger.json",
    ]  # fmt: skip
    kept = ledger_of(tmp_path)
    assert convert(data, "--out", out, "--force") == 1  # the store stays, and so does its ledger
    assert ledger_of(tmp_path) == kept
    assert "ledger.failed.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b'{"messages": [', "not_json"),
        (json.dumps(row(1)).encode("utf-16"), "not_utf8"),
        (json.dumps(row(1) | {"x": "é"}, ensure_ascii=False).encode("latin-1"), "not_utf8"),
        (json.dumps([{"role": "user", "content": "Hi"}]).encode(), "no_agent_turn"),
    ],
)
def test_bad_files(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, reason: str) -> None:
    (tmp_path / "in.json").write_bytes(content)
    assert convert(tmp_path / "in.json", "--out", tmp_path / "o.jsonl") == 1
    error = capsys.readouterr().err
    assert f"{reason}: {tmp_path / 'in.json'}" in error
    assert "Traceback" not in error


def test_wrong_arguments_are_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "in.jsonl", row(1))
    out = write(tmp_path / "out.jsonl", "precious")
    assert convert(data, "--out", out) == 2
    assert "--force" in capsys.readouterr().err
    assert out.read_text() == "precious\n"
    assert convert(tmp_path / "none", "--out", tmp_path / "o") == 2
    assert "none: no such file or folder" in capsys.readouterr().err
    assert convert(data, "--out", tmp_path) == 2
    assert convert(data, "--out", tmp_path / "o", "--ledger", tmp_path / "o") == 2
    assert command(data).returncode == 2
    assert command(data, "--out", tmp_path / "o", "--format", "nonsense").returncode == 2
    assert convert(data, "--out", out, "--force") == 0
    assert len(list(read_trajectories(out))) == 1


def test_rows_of_a_table_and_of_a_data_set_are_the_rows_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(1), row(2)]
    write(tmp_path / "in.jsonl", *rows)
    (tmp_path / "set").mkdir()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set/train-0.parquet")
    outs = [tmp_path / f"{name}.store" for name in ("file", "table", "set")]
    for source, out in zip(
        (tmp_path / "in.jsonl", tmp_path / "set", f"hf:{tmp_path / 'set'}@train"), outs, strict=True
    ):
        assert convert(source, "--out", out, "--force") == 0
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()
    capsys.readouterr()
    assert convert("hf:nobody/nothing", "--out", tmp_path / "none", "--force") == 1
    assert "unreadable: hf:nobody/nothing: " in capsys.readouterr().err


def test_the_previous_output_is_no_input(tmp_path: Path) -> None:
    write(tmp_path / "in.jsonl", row(1))
    for _ in range(2):
        assert convert(tmp_path, "--out", tmp_path / "expert.jsonl", "--force") == 0
        assert len(list(read_trajectories(tmp_path / "expert.jsonl"))) == 1


def test_converting_a_store_again_gives_the_same_store(tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", row(1, "echo \\ud800"), row(2))
    assert convert(data, "--out", tmp_path / "a.jsonl") == 0
    assert convert(tmp_path / "a.jsonl", "--out", tmp_path / "b.jsonl", "--force") == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_ids_are_unique(tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", row(1), row(1), row(1) | {"traj_id": "t1~2"}, row(1))
    assert convert(data, "--out", tmp_path / "o.jsonl") == 0
    ids = [t.trajectory_id for t in read_trajectories(tmp_path / "o.jsonl")]
    assert len(set(ids)) == 4
    assert ids[:2] == ["t1", "t1~2"]
    assert ledger_of(tmp_path)["total"]["notes"]["trajectory_id_taken"] == 3


def test_a_named_format_is_not_detected_from_content(tmp_path: Path) -> None:
    data = write(
        tmp_path / "in.txt",
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "```bash\nls\n```"}],
    )
    assert convert(data, "--out", tmp_path / "o.jsonl", "--format", "trae") == 1  # a list is no run
    failed = json.loads((tmp_path / "ledger.json").read_text())
    assert failed["formats"]["trae"]["trajectories"]["dropped"] == {"malformed": 1}
    assert convert(data, "--out", tmp_path / "o.jsonl", "--format", "mini-swe-agent") == 0


def test_event_files_of_a_folder_are_one_trajectory(tmp_path: Path) -> None:
    folder = tmp_path / "conv-1" / "events"
    folder.mkdir(parents=True)
    base = {"timestamp": "t"}
    call = {"id": "c", "name": "terminal", "arguments": '{"command": "ls"}'}
    events = [
        {"kind": "MessageEvent", "id": "1", "source": "user", "llm_message": {"content": "Go"}},
        {
            "kind": "ActionEvent",
            "id": "2",
            "source": "agent",
            "thought": [],
            "tool_call": call,
            "tool_call_id": "c",
        },
        {
            "kind": "ObservationEvent",
            "id": "3",
            "source": "environment",
            "tool_call_id": "c",
            "observation": {"content": "a"},
        },
    ]
    for number, event in enumerate(events):
        write(folder / f"event-0000{number}-x.json", event | base)
    assert convert(tmp_path, "--out", tmp_path / "o.jsonl") == 0
    (trajectory,) = read_trajectories(tmp_path / "o.jsonl")
    assert (trajectory.trajectory_id, trajectory.steps[0].observation) == ("conv-1", "a")


def test_a_line_of_200_mb_costs_that_line_and_bounded_memory(tmp_path: Path) -> None:
    data = tmp_path / "in.jsonl"
    write(data, row(1))
    with data.open("r+b") as file:
        file.seek(200 * 2**20, os.SEEK_END)  # a hole: zeros that take no room on disk
        file.write(b"\n" + json.dumps(row(2)).encode() + b"\n")
    limit = 600 * 2**20

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    done = command(data, "--out", tmp_path / "o.jsonl", preexec_fn=bounded)
    assert done.returncode == 0, done.stderr
    assert [t.trajectory_id for t in read_trajectories(tmp_path / "o.jsonl")] == ["t1", "t2"]
    dropped = ledger_of(tmp_path)["files"][0]["examples"]["trajectories"]["line_too_long"]
    assert dropped[0].startswith(f"{data}:2: 209715201 bytes, the limit is 67108864")


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    data = write(tmp_path / "in.jsonl", *(row(number, "x" * 1000) for number in range(200)))
    out = tmp_path / "o" / "expert.jsonl"

    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    done = command(data, "--out", out, preexec_fn=small_files)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {out}: ")
    assert "Traceback" not in done.stderr
    assert list(out.parent.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_os_errors_say_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    assert cli.run(full) == 1
    assert "No space left on device (free some space" in capsys.readouterr().err


def test_ctrl_c_is_exit_130_and_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "o" / "expert.jsonl"
    data = write(tmp_path / "data.jsonl", *(row(number, "x" * 2000) for number in range(20_000)))
    line = [sys.executable, "-m", "harness.convert", str(data), "--out", str(out)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list(out.parent.glob(".*.part")):  # the store is being written
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130, error
    assert error.strip() == "interrupted"
    assert list(out.parent.iterdir()) == []


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, runpy\nsys.argv = ['convert', '--help']\n"
        "try: runpy.run_module('harness.convert', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'transformers', 'trl', 'numpy', 'datasets', 'docker') if m in sys.modules])"
    )
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 2  # a second on an idle machine
    assert done.stdout.strip().endswith("[]")
    assert "swe-smith" in done.stdout
