"""Several worker processes write what one process writes, byte for byte, whatever the input is."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.convert import main
from harness.data import conversion, parallel
from harness.data.workers import Workers
from tests.trajectories.readers.fuzz import FORMATS, make_case
from tests.trajectories.seeds import SEEDS
from trajectories.fast_json import loads
from trajectories.readers import plan
from trajectories.sources import parts
from trajectories.types import JSON

Read = dict[str, bytes]


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (parts, plan):
        monkeypatch.setattr(module, "PART_BYTES", 2000)
    monkeypatch.setattr(parts, "_BLOCK", 500)


@pytest.fixture
def read_here(monkeypatch: pytest.MonkeyPatch) -> list[parts.Part]:
    """Return the parts that the first process reads itself, filled while a conversion runs."""
    found: list[parts.Part] = []
    read = parallel._Join._read

    def noted(join: parallel._Join, part: parts.Part) -> None:
        found.append(part)
        read(join, part)

    monkeypatch.setattr(parallel._Join, "_read", noted)
    return found


def convert(source: Path, workers: int, *options: str) -> Read:
    """Return the files that a conversion writes, by name, and its exit code."""
    folder = source.parent / f"out{workers}"
    out = folder / "out.jsonl"
    folder.mkdir(exist_ok=True)
    command = [str(source), "--out", str(out), "--no-card", "--force", *options]
    code = cli.run(lambda: main([*command, "--workers", str(workers)]))
    read = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**read, "exit code": str(code).encode()}


def same(source: Path, *options: str) -> Read:
    """Return what one process writes, after comparing it with what two and three workers write."""
    alone = convert(source, 1, *options)
    for workers in (2, 3):
        assert convert(source, workers, *options) == alone
    return alone


def row(number: int, *, name: str | None = None) -> dict[str, JSON]:
    call = {"id": "c", "function": {"name": "bash", "arguments": json.dumps({"command": f"ls {number}"})}}
    return {
        "instance_id": name or f"acme__widgets-{number}",
        "messages": [
            {"role": "user", "content": "Fix it."},
            {"role": "assistant", "content": f"Look {number}.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "a.py\n" * (number % 40)},
        ],
    }


def write(path: Path, *lines: JSON) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)
    )
    return path


def ids(read: Read) -> list[str]:
    return [json.loads(line)["trajectory_id"] for line in read["out.jsonl"].splitlines()]


@pytest.mark.usefixtures("small_parts")
def test_lines_of_one_file_in_order(tmp_path: Path, read_here: list[parts.Part]) -> None:
    source = write(tmp_path / "rows.jsonl", *map(row, range(200)))
    read = same(source)
    assert ids(read) == [f"acme__widgets-{number}" for number in range(200)]
    assert read_here == []  # the workers did it all


@pytest.mark.usefixtures("small_parts")
def test_ids_are_made_unique_in_reading_order(tmp_path: Path) -> None:
    names = ["acme__widgets-1", "acme__widgets-1~2", "other__one-1", 'quo"ted', "\ud800é"]
    lines = [row(number, name=random.Random(number).choice(names)) for number in range(120)]
    read = same(write(tmp_path / "rows.jsonl", *lines))
    assert len(set(ids(read))) == 120
    noted = json.loads(read["ledger.json"])["total"]["notes"]["trajectory_id_taken"]
    assert noted == 120 - len(names)
    for form in ("atif", "trl-messages", "pivot"):
        same(tmp_path / "rows.jsonl", "--to", form)


@pytest.mark.usefixtures("small_parts")
def test_duplicates_are_found_over_parts(tmp_path: Path) -> None:
    lines = [
        row(random.Random(number).randrange(30), name=f"acme__widgets-{number}") for number in range(150)
    ]
    read = same(write(tmp_path / "rows.jsonl", *lines), "--filters", "clean", "--licence", "MIT")
    dropped = json.loads(read["ledger.json"])["total"]["trajectories"]["dropped"]
    assert dropped["duplicate"] + dropped.get("near_duplicate", 0) >= 120


@pytest.mark.usefixtures("small_parts")
def test_lines_of_other_formats_and_broken_ones(tmp_path: Path, read_here: list[parts.Part]) -> None:
    """The account of a broken line is that of the format before it, which may be in the part before it."""
    lines: list[JSON] = [row(0)]
    for number in range(1, 150):
        other = random.Random(number).choice(["trae", "store", "pivot", "claude-code", "openai"])
        lines += random.Random(number).choice(
            [[row(number)], [b'{"broken\n'], [{"no": "format"}], SEEDS[other]]
        )
    same(write(tmp_path / "rows.jsonl", *lines))
    assert read_here


@pytest.mark.usefixtures("small_parts")
def test_a_list_over_many_lines_is_not_cut(tmp_path: Path, read_here: list[parts.Part]) -> None:
    listed = b"[\n" + b",\n".join(json.dumps(row(number)).encode() for number in range(100, 140)) + b"\n]\n"
    lines = [
        *map(row, range(60)),
        listed,
        *map(row, range(60, 100)),
        b"[ broken\n",
        *map(row, range(200, 240)),
    ]
    same(write(tmp_path / "rows.jsonl", *lines))
    # Once by the first process of two workers, once by that of three.
    assert [part.span is not None and part.span.is_last for part in read_here].count(True) == 2


@pytest.mark.usefixtures("small_parts")
def test_conversations_of_several_files(tmp_path: Path) -> None:
    """The files of a folder are one trajectory, and a folder is larger than a part."""
    events = SEEDS["openhands-sdk"]
    for conversation in range(4):
        for number in range(40):
            event = events[min(number, 1) if number < 39 else 2]
            folder = tmp_path / "in" / f"conversation{conversation}"
            write(
                folder / f"event-{number:05d}.json",
                {**event, "id": f"{number}", "llm_response_id": f"r{number}"},
            )
    read = same(tmp_path / "in")
    assert len(ids(read)) == 4


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("first", range(0, 400, 80))
def test_fuzz(tmp_path: Path, first: int) -> None:
    """Broken files of all formats: each in a file of its own, and all behind a row in one."""
    contents = [make_case(number).content for number in range(first, first + 80)]
    contents = [content for content in contents if len(content) < 50_000]
    for number, content in enumerate(contents):
        write(
            tmp_path / "in" / f"{number // 20}" / f"{FORMATS[number % len(FORMATS)]}{number:03d}.jsonl",
            content,
        )
    random.Random(first).shuffle(contents)
    write(tmp_path / "in" / "all.jsonl", row(1), *(content + b"\n" for content in contents))
    same(tmp_path / "in")


def test_nothing_is_left_if_no_trajectory_is(tmp_path: Path) -> None:
    read = same(write(tmp_path / "rows.jsonl", {"no": "format"}))
    assert read["exit code"] == b"1"
    assert "out.jsonl" not in read


def test_a_small_input_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "convert_parallel", None)
    source = write(tmp_path / "rows.jsonl", *map(row, range(10)))
    assert main([str(source), "--out", str(tmp_path / "out.jsonl")]) == 0


def _kill(number: int, task: int) -> int:
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def _fail(number: int, task: int) -> int:
    raise OSError(28, "No space left on device")


def _ignore_sigterm(number: int, task: int) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return task


def test_a_worker_that_is_killed_is_an_error() -> None:
    with Workers(_kill, 2) as workers, pytest.raises(cli.UserError, match=r"signal 9.*--workers 1"):
        list(workers.results(iter(range(20))))


def test_what_a_worker_raises() -> None:
    with Workers(_fail, 2) as workers, pytest.raises(OSError, match="No space left"):
        list(workers.results(iter(range(20))))


def test_workers_end_without_sigterm() -> None:
    """A worker that is forked just now may still have the handler, and lose the signal."""
    with Workers(_ignore_sigterm, 2) as workers:
        assert list(workers.results(iter(range(4)))) == [(task, task) for task in range(4)]


def test_results_in_order() -> None:
    def work(number: int, task: str) -> str:
        time.sleep(random.Random(number).random() / 100)
        return task * 2

    with Workers(work, 3) as workers:
        found = list(workers.results(iter("abcdefghijklmnopqrst")))
    assert found == [(letter, letter * 2) for letter in "abcdefghijklmnopqrst"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_ended_from_outside(tmp_path: Path, end: signal.Signals) -> None:
    """Ctrl-C reaches all processes. None stays, and after Ctrl-C no file does."""
    source = write(tmp_path / "rows.jsonl", *(row(number) for number in range(60_000)))
    command = [
        sys.executable,
        "-m",
        "harness.convert",
        str(source),
        "--out",
        str(tmp_path / "o" / "out.jsonl"),
    ]
    process = subprocess.Popen([*command, "--workers", "2"], start_new_session=True, stderr=subprocess.PIPE)
    while not list(tmp_path.glob("o/.out.jsonl.*/*")):
        assert process.poll() is None
        time.sleep(0.01)
    if end is signal.SIGINT:
        os.killpg(process.pid, end)
        _, error = process.communicate(timeout=60)
        assert (process.returncode, b"Traceback" in error) == (130, False)
        assert list((tmp_path / "o").iterdir()) == []
    else:
        os.kill(process.pid, end)
        process.communicate(timeout=60)
    _wait_until(lambda: not _group(process.pid))


def _group(leader: int) -> list[str]:
    """Return the processes of a group that still run."""
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    fields = [stat.rpartition(")")[2].split() for stat in stats]
    return [field[0] for field in fields if field[2] == str(leader) and field[0] != "Z"]


def _wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("still not so after 10 s")


NUMBERS = (
    "18446744073709551615 18446744073709551616 -9223372036854775809 9007199254740993 -0 -0.0 1e400 -1e400 1e-400 NaN "
    "Infinity -Infinity 1E+2 100000000000000000000.0 2.2250738585072011e-308 4.9e-324 1.7976931348623159e308 "
    "01 1. .5 +1 - 1e 0x10 1_000"
)
HARD = [
    *NUMBERS.split(" "),
    *(r'"\ud800"', r'"\ud83d\ude00"', r'"\udc00\ud800"', r'"\ud83dx"', r'"\u0000"', r'"a\/b"', r'"\x"'),
    *(
        "tru",
        "[1,]",
        "[1]",
        "[[]",
        "[]]",
        "[1 2]",
        "null x",
        "'a'",
        "//",
        "1//c",
        "",
        " ",
        " 1 ",
        "\x0b1",
        "1\x00",
    ),
    *('{"a":1,}', "{1:2}", '{"a":1,"b":2,"a":3}', r'{"\u0061":1,"a":[2]}', '{"a": ' * 50 + "1" + "}" * 50),
    *('"\x01"', '"\x7f"', '"\u2028é😀"', "\ufeff1", "[" * 100_000),
    *("9" * 400, "9" * 5000, "1." + "1" * 400, "0." + "0" * 400 + "1"),
]
NOT_UTF8 = [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"\xc3', b"\xff\xfe1\x00"]


def _slowly(text: bytes) -> JSON:
    return json.loads(text.decode("utf-8"))


def _outcome(read: Callable[[bytes], JSON], text: bytes) -> str:
    try:
        return repr(read(text))
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("text", [*(text.encode() for text in HARD), *NOT_UTF8])
def test_values_of_the_faster_reader(text: bytes) -> None:
    assert _outcome(loads, text) == _outcome(_slowly, text)
    if text not in NOT_UTF8:
        assert _outcome(lambda text: loads(text.decode()), text) == _outcome(_slowly, text)


def test_random_numbers_and_bytes_of_the_faster_reader() -> None:
    rng = random.Random(0)
    numbers: tuple[Callable[[], str], ...] = (
        lambda: str(rng.getrandbits(rng.randrange(1, 80)) * rng.choice((1, -1))),
        lambda: f"{rng.getrandbits(70)}e{rng.randrange(-345, 310)}",
        lambda: f"{rng.getrandbits(60)}.{rng.getrandbits(80)}",
        lambda: f"{rng.random() * 10.0 ** rng.randrange(-300, 300):.{rng.randrange(1, 25)}e}",
    )
    odd = b'\x00 "\\ud8\xc3\xa9\xed\xa0\x80\xf0\x9f\x98'
    texts = [rng.choice(numbers)().encode() for _ in range(20_000)]
    texts += [b'["' + bytes(rng.choice(odd) for _ in range(8)) + b'"]' for _ in range(20_000)]
    for text in texts:
        assert _outcome(loads, text) == _outcome(_slowly, text), text
