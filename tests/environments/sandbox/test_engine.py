"""Engines that fail, and containers whose process ends before them."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments.failures import EnvironmentFailure
from environments.sandbox import engine
from environments.sandbox.container import Container, Limits
from environments.sandbox.engine import LABEL, connect, remove_leftovers


@pytest.fixture
def other_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return the socket named by DOCKER_HOST, at which nothing listens yet."""
    path = tmp_path / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    connect.cache_clear()
    yield path
    connect.cache_clear()


def test_an_unresponsive_engine_is_an_environment_failure(
    other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_FIRST_TIMEOUT", 1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(other_engine))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(EnvironmentFailure, match=r"engine\.sock.*timed out.*harness\.doctor"):
            connect()
        assert time.monotonic() - started < 10


def answer(path: Path, status: str) -> threading.Thread:
    """Serve an engine that is up and fails at everything."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    server.settimeout(5)

    def serve() -> None:
        with server:
            while True:
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    return
                request = connection.recv(65536)
                body = b'{"message": "no space left on device", "ApiVersion": "1.41"}'
                good = b"_ping" in request or b"/version" in request or b"/info" in request
                head = f"HTTP/1.1 {'200 OK' if good else status}\r\nContent-Length: {len(body)}\r\n"
                more = b"Connection: close\r\nContent-Type: application/json\r\n\r\n"
                connection.sendall(head.encode() + more + body)
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def test_an_error_of_the_engine_is_an_environment_failure(
    other_engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("environments.sandbox.container.engine_cpus", lambda: 2)
    answer(other_engine, "500 Internal Server Error")
    with pytest.raises(EnvironmentFailure, match="no space left on device"):
        Container("any/image:1")


def test_cpus_are_capped_at_the_engines_cores(image: str) -> None:
    with Container(image, limits=Limits(cpus=10_000)) as sandbox:
        assert sandbox.run("echo fine").output == "fine\n"


def test_output_is_not_lost_when_this_process_is_slow(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's response and the first output then arrive together (and the SDK drops what it has read)."""
    begin = http.client.HTTPResponse.begin

    def slow(self: http.client.HTTPResponse) -> None:
        time.sleep(0.2)
        begin(self)

    with Container(image) as sandbox:
        monkeypatch.setattr(http.client.HTTPResponse, "begin", slow)
        assert sandbox.run("echo first; sleep 1; echo last").output == "first\nlast\n"
        assert sandbox.run("seq 20000").output.startswith("1\n2\n3\n")


def test_final_output_is_not_lost_with_a_busy_background_process(image: str) -> None:
    with Container(image) as sandbox:
        for _ in range(2):
            result = sandbox.run("(while :; do sleep 0.05; done) & sleep 0.5; echo last; exit 3")
            assert (result.output, result.exit_code) == ("last\n", 3)


def test_no_signal_from_inside_ends_the_sandbox(image: str) -> None:
    with Container(image) as sandbox:
        sandbox.run("for number in $(seq 64); do kill -$number 1; done")
        sandbox.run("for pid in /proc/[0-9]*; do kill -9 ${pid#/proc/}; done")
        assert sandbox.run("echo alive").output == "alive\n"


def test_a_removed_shell_is_a_failed_command(image: str) -> None:
    with Container(image) as sandbox:
        sandbox.run("rm /bin/bash")
        result = sandbox.run("echo hi")
        assert result.exit_code == 126
        assert "not found" in result.output


def test_privileges_cannot_be_regained(image: str) -> None:
    with Container(image) as sandbox:
        sandbox.run("cp $(command -v python3) /tmp/root; chmod u+s /tmp/root")
        become = "import os; os.setgid(65534); os.setuid(65534); os.execv('/tmp/root', ['root', '-c', %r])"
        script = "import os; print(os.geteuid())"
        assert sandbox.run(f'python3 -c "{become % script}"').output == "65534\n"
        for refused in (
            "mount -o remount,rw /proc/sys",
            "echo 1 > /proc/sys/kernel/sysrq",
            "unshare --mount true",
            "chroot / true",
            "hostname other",
            "date -s 2000-01-01",
            "nsenter --target 1 --mount true",
        ):
            assert sandbox.run(refused).exit_code != 0, refused


# Busy sandboxes in threads that do not end by themselves, as in an evaluation; the main thread only connects.
SCRIPT = """
import os, signal, sys, threading, time
from environments.sandbox.container import Container
from environments.sandbox.engine import connect
{before}
connect()
ready = threading.Barrier(4)
def work():
    with Container(sys.argv[1]) as sandbox:
        ready.wait()  # a signal in the main thread's own wait would leave the others in theirs
        os.write(1, b"up\\n")  # in one piece: three threads say it
        sandbox.run("sleep 100")
    with Container(sys.argv[1]) as sandbox:
        print("a new sandbox", flush=True)
        sandbox.run("sleep 100")
for _ in range(3):
    threading.Thread(target=work).start()
ready.wait()
{after}
"""


def containers_of(pid: int) -> list[str]:
    # Not the SDK's list(): it asks about each container again, and one may be gone by then.
    found = connect().api.containers(all=True, filters={"label": LABEL})
    return [c["Names"][0].strip("/") for c in found if c["Labels"][LABEL].startswith(f"{pid}:")]


def start(image: str, *, before: str = "", after: str = "time.sleep(100)") -> "subprocess.Popen[str]":
    """Start a process with three busy sandboxes."""
    command = [sys.executable, "-c", SCRIPT.format(before=before, after=after), image]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["up\n"] * 3
    assert len(containers_of(process.pid)) == 3
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_process_and_its_sandboxes(image: str, number: int, code: int) -> None:
    process = start(image)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert containers_of(process.pid) == []
    assert process.returncode == code, errors
    assert output == ""
    assert errors.count("EnvironmentFailure: ") == 3  # no thread got another sandbox


def test_a_process_that_handles_a_signal_keeps_its_sandboxes(image: str) -> None:
    before = "signal.signal(signal.SIGTERM, lambda *_: print('noted', flush=True))"
    process = start(image, before=before)
    process.terminate()
    assert process.stdout is not None
    assert process.stdout.readline() == "noted\n"
    assert len(containers_of(process.pid)) == 3
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert containers_of(process.pid) == []


def test_a_forked_child_leaves_its_parents_sandboxes(image: str) -> None:
    after = """
child = os.fork()
if not child:
    time.sleep(100)
time.sleep(0.2)
os.kill(child, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
time.sleep(100)
"""
    process = start(image, after=after)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{-signal.SIGTERM}\n"
    assert len(containers_of(process.pid)) == 3
    process.terminate()
    process.communicate(timeout=30)
    assert containers_of(process.pid) == []


def test_sandboxes_that_were_not_closed_are_removed_at_exit(image: str) -> None:
    script = "import sys; from environments.sandbox.container import Container; Container(sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", script, image])
    assert process.wait(timeout=60) == 0
    assert containers_of(process.pid) == []


def test_only_leftovers_of_this_machines_dead_processes_are_removed(image: str) -> None:
    process = start(image)
    process.kill()
    process.communicate()
    left = containers_of(process.pid)
    assert len(left) == 3
    labels = {LABEL: f"{process.pid}:1", f"{LABEL}.host": "another"}
    api = connect().api
    foreign = api.create_container(image, "true", labels=labels)["Id"]
    unlabelled = api.create_container(image, "true")["Id"]
    with Container(image) as own:
        try:
            removed = remove_leftovers()
            assert set(left) <= set(removed)
            assert own.name not in removed
            assert api.inspect_container(foreign)
            assert api.inspect_container(unlabelled)
        finally:
            for container in (foreign, unlabelled):
                api.remove_container(container, force=True)
        assert own.run("echo here").output == "here\n"


def test_a_reused_process_id_is_another_process() -> None:
    own = engine.own_labels()[LABEL]
    assert not engine._is_dead(own)
    assert engine._is_dead(f"{os.getpid()}:1")
    assert not engine._is_dead("nonsense")
    gone = subprocess.Popen(["sleep", "60"])
    label = f"{gone.pid}:{engine._started(gone.pid)}"
    assert not engine._is_dead(label)
    gone.kill()
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
    assert engine._is_dead(label)  # ended, though nobody has asked for its exit code
    gone.wait()
    assert engine._is_dead(label)
