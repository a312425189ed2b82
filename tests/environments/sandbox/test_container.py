"""Real containers, and everything that can go wrong in them."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Container, Limits
from environments.sandbox.engine import LABEL, connect, remove_leftovers
from environments.tools.bash import observation
from harness.config.tables import LimitsTable
from harness.evaluation.swe.attempts import sandbox_limits

MB = 1 << 20
SMALL = Limits(memory_gb=128 / 1024, pids=64, disk_gb=200 / 1024, command_seconds=20)


@pytest.fixture
def sandbox(image: str) -> Iterator[Container]:
    with Container(image, limits=SMALL) as container:
        yield container


def test_limits_in_gigabytes_are_exact_bytes() -> None:
    assert (SMALL.memory_bytes, SMALL.disk_bytes) == (128 * MB, 200 * MB)
    assert sandbox_limits(LimitsTable(attempt_seconds=7200)) == Limits()


def test_output_comes_in_order_with_the_exit_code(sandbox: Container) -> None:
    result = sandbox.run("echo one; echo two >&2; echo three; exit 3")
    assert (result.output, result.exit_code, result.stopped) == ("one\ntwo\nthree\n", 3, None)
    assert sandbox.run("pwd").output == "/testbed\n"
    assert sandbox.run('echo "$WHO"', env={"WHO": "me & you"}).output == "me & you\n"
    assert sandbox.run("no-such-program").exit_code == 127


def test_undecodable_output_becomes_replacement_characters(sandbox: Container) -> None:
    result = sandbox.run("printf 'a\\377\\000b'")
    assert result.output == "a\ufffd\0b"


def test_long_output_keeps_head_and_tail(image: str) -> None:
    with Container(image, limits=Limits(output_chars=100)) as sandbox:
        text = sandbox.run("seq 1 100000").output
    assert text.startswith("1\n2\n3\n")
    assert text.endswith("\n99999\n100000\n")
    assert "bytes left out]" in text
    assert len(text) < 200


def test_a_gigabyte_of_output_costs_no_memory(image: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Container(image, limits=Limits(output_bytes=1 << 30, command_seconds=120)) as sandbox:
        result = sandbox.run("yes | head -c 2000000000")
        assert (result.exit_code, result.stopped) == (None, "output")
        assert "printed too much" in observation(result, timeout=120)
        assert sandbox.run("echo fine").output == "fine\n"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_an_endless_command_is_stopped_with_all_its_children(sandbox: Container) -> None:
    started = time.monotonic()
    result = sandbox.run("echo begun; setsid sleep 777 & sleep 777", timeout=2)
    assert (result.output, result.exit_code, result.stopped) == ("begun\n", None, "time")
    assert time.monotonic() - started < 15
    assert "sleep\000777" not in sandbox.run("cat /proc/[0-9]*/cmdline").output


def test_files_stay_when_a_command_is_stopped(sandbox: Container) -> None:
    sandbox.run("echo kept > /testbed/a; sleep 100", timeout=1)
    assert sandbox.read("a") == b"kept\n"


def test_a_background_process_does_not_block_the_call(sandbox: Container) -> None:
    started = time.monotonic()
    result = sandbox.run("echo started; sleep 60 &")
    assert (result.output, result.exit_code) == ("started\n", 0)
    assert time.monotonic() - started < 15


def test_a_fork_bomb_is_stopped_and_the_sandbox_survives(sandbox: Container) -> None:
    result = sandbox.run("bomb() { bomb | bomb & }; bomb; sleep 100", timeout=3)
    assert result.exit_code != 0
    assert sandbox.run("echo alive").output == "alive\n"


def test_leftover_processes_do_not_block_the_next_command(sandbox: Container) -> None:
    fill = "import os, time\nwhile True:\n  try: os.fork() or time.sleep(100)\n  except OSError: break"
    sandbox.run(f"setsid python3 -c '{fill}' > /dev/null 2>&1 &")
    deadline = time.monotonic() + 30  # seconds to start 63 processes on a busy machine
    while len(connect().api.top(sandbox.name)["Processes"]) < SMALL.pids - 1:
        assert time.monotonic() < deadline, "the sandbox never filled up"
        time.sleep(0.2)
    assert sandbox.run("echo alive").output == "alive\n"


def test_a_sandbox_cannot_be_ended_from_inside_and_keeps_no_zombies(sandbox: Container) -> None:
    assert sandbox.run("kill -9 -1; kill -9 1; echo still").output == "still\n"
    sandbox.run("for i in $(seq 200); do (sleep 0.1 & ) ; done; sleep 1")
    assert sandbox.run("grep -l '^State:.Z' /proc/[0-9]*/status | wc -l").output == "0\n"


def test_a_memory_bomb_is_a_failed_command(sandbox: Container) -> None:
    result = sandbox.run("python3 -c 'x = bytearray(10**9)'; echo $?")
    assert result.output.strip().endswith("137") or "MemoryError" in result.output
    assert sandbox.run("python3 -c 'x = bytearray(10**9)'").exit_code == 137
    assert sandbox.run("echo alive").output == "alive\n"


def test_a_disk_filler_is_stopped(sandbox: Container) -> None:
    one = sandbox.run("head -c 400M /dev/zero > /testbed/big; echo $?")
    assert one.output.strip() != "0"
    assert int(sandbox.run("stat -c %s big").output) == 200 * MB
    many = sandbox.run("while :; do head -c 50M /dev/zero > /testbed/f$RANDOM; sleep 0.2; done", timeout=60)
    assert many.stopped == "disk"
    assert "wrote too much" in observation(many, timeout=60)


def test_there_is_no_network_and_nothing_of_the_host(sandbox: Container) -> None:
    assert sandbox.run("ls /sys/class/net").output.split() == ["lo"]
    code = "import socket; socket.create_connection(('1.1.1.1', 80), 3)"
    assert "unreachable" in sandbox.run(f'python3 -c "{code}"').output
    assert sandbox.run("ls /var/run/docker.sock").exit_code != 0
    assert sandbox.run("mount -t tmpfs none /mnt").exit_code != 0
    assert sandbox.run("mknod /dev/x b 8 0").exit_code != 0
    status = sandbox.run("cat /proc/self/status").output
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    ours = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    theirs = {line.split()[1] for line in sandbox.run("cat /proc/mounts").output.splitlines()}
    assert not {path for path in theirs & ours if path.startswith(("/home", "/work", "/tmp", "/root"))}


@pytest.mark.parametrize("path", ["-n", "a b/c\nd", "'\"$(touch /testbed/evil)", "deep/er/ä.txt", "/tmp/x"])
def test_paths_are_never_interpreted(sandbox: Container, path: str) -> None:
    sandbox.write(path, b"\0\xff\n")
    assert sandbox.read(path) == b"\0\xff\n"
    assert sandbox.read("evil") is None
    sandbox.write(path, b"")
    assert sandbox.read(path) == b""


def test_links_stay_inside_the_sandbox(sandbox: Container) -> None:
    sandbox.run("ln -s /etc/hostname link; ln -s ../../../../../../etc/shadow up")
    assert sandbox.read("link") != Path("/etc/hostname").read_bytes()
    sandbox.write("link", b"changed")
    assert sandbox.read("/etc/hostname") == b"changed"
    with pytest.raises(OSError, match="cannot be written"):
        sandbox.write("/proc/version", b"x")


def test_large_files_go_in_and_out(sandbox: Container) -> None:
    data = os.urandom(8 * MB)
    sandbox.write("big", data)
    assert sandbox.read("big") == data
    with pytest.raises(ValueError, match="larger than"):
        sandbox.read("big", limit=MB)


def test_the_lifetime_of_a_sandbox_is_limited(image: str) -> None:
    with Container(image, limits=Limits(sandbox_seconds=1)) as sandbox:
        time.sleep(1)
        assert sandbox.run("echo late").stopped == "time"


def test_a_missing_engine_is_an_environment_failure(monkeypatch: pytest.MonkeyPatch, image: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    connect.cache_clear()
    try:
        with pytest.raises(EnvironmentFailure, match=r"unix:///no/such\.sock.*harness\.doctor"):
            Container(image)
    finally:
        connect.cache_clear()


def test_a_missing_image_is_an_environment_failure(image: str) -> None:
    with pytest.raises(EnvironmentFailure, match=r"the image is not on this machine.*no/such-image"):
        Container("no/such-image:1")


def test_removal_from_outside_is_an_environment_failure(image: str) -> None:
    with Container(image) as sandbox:
        connect().containers.get(sandbox.name).remove(force=True)
        with pytest.raises(EnvironmentFailure, match="gone"):
            sandbox.run("true")
    with Container(image) as sandbox:
        subprocess.Popen(["sh", "-c", f"sleep 2; docker rm -f {sandbox.name} > /dev/null"])
        with pytest.raises(EnvironmentFailure):
            sandbox.run("sleep 60")


def test_a_stop_from_outside_is_not_a_failed_command(image: str) -> None:
    with Container(image) as sandbox:
        subprocess.Popen(["sh", "-c", f"sleep 2; docker kill {sandbox.name} > /dev/null"])
        with pytest.raises(EnvironmentFailure, match="stopped while a command ran"):
            sandbox.run("sleep 60")


SCRIPT = """
import sys, threading, time
from environments.sandbox.container import Container
sandboxes = [Container(sys.argv[1]) for _ in range(2)]
def work():
    with Container(sys.argv[1]) as sandbox:
        print("up", flush=True)
        sandbox.run("sleep 100")
threading.Thread(target=work, daemon=True).start()
while True:
    time.sleep(0.1)
"""


def containers_of(pid: int) -> list[str]:
    # Not the SDK's list(): it asks about each container again, and one may be gone by then.
    found = connect().api.containers(all=True, filters={"label": LABEL})
    return [c["Names"][0].strip("/") for c in found if c["Labels"][LABEL].startswith(f"{pid}:")]


@pytest.fixture
def process(image: str) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen([sys.executable, "-c", SCRIPT, image], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "up\n"
    yield running
    running.kill()
    running.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_container(process: subprocess.Popen[str], number: int) -> None:
    assert len(containers_of(process.pid)) == 3
    process.send_signal(number)
    process.wait(timeout=60)
    assert containers_of(process.pid) == []


def test_containers_of_dead_processes_are_removed_and_of_living_ones_kept(
    process: subprocess.Popen[str], sandbox: Container
) -> None:
    process.kill()
    process.wait()
    left = containers_of(process.pid)
    assert len(left) == 3
    assert set(left) <= set(remove_leftovers())
    assert containers_of(process.pid) == []
    assert sandbox.run("echo here").output == "here\n"
