"""The sandbox for trusted actions: paths, limits, the diff."""

import sys
import time

import pytest

from environments.sandbox.local import LocalSandbox
from environments.tools.bash import CommandResult, clip, observation

FILES = {"pkg/a.py": "x = 1\n", "README": "hello\n"}


def test_the_folder_is_known_as_testbed() -> None:
    with LocalSandbox(FILES) as sandbox:
        assert sandbox.execute("bash", {"command": "pwd; cat /testbed/README; ls /testbed/pkg"}) == (
            "/testbed\nhello\na.py"
        )
        assert "/testbed/pkg/a.py, lines 1-1" in sandbox.execute(
            "str_replace_editor", {"command": "view", "path": "/testbed/pkg/a.py"}
        )


def test_python_is_the_running_interpreter() -> None:
    with LocalSandbox(FILES) as sandbox:
        shown = sandbox.execute("bash", {"command": "python -c 'import sys; print(sys.prefix, sys.flags)'"})
    assert shown.startswith(sys.prefix)
    assert "dont_write_bytecode=1" in shown


def test_commands_do_not_share_a_shell() -> None:
    with LocalSandbox(FILES) as sandbox:
        sandbox.execute("bash", {"command": "cd pkg; X=1"})
        assert sandbox.execute("bash", {"command": "pwd; echo $X"}) == "/testbed"


def test_failures_are_observations() -> None:
    with LocalSandbox(FILES) as sandbox:
        assert sandbox.execute("bash", {"command": "false"}) == "The command printed nothing.\n[exit code 1]"
        assert sandbox.execute("browse", {}).startswith("ERROR: There is no tool 'browse'")
        wrong = {"command": "view", "path": "/testbed/no.py"}
        assert (
            sandbox.execute("str_replace_editor", wrong)
            == "ERROR: There is no file or folder /testbed/no.py."
        )


def test_a_command_and_its_children_stop_at_the_limit() -> None:
    with LocalSandbox(FILES, timeout=0.5) as sandbox:
        start = time.monotonic()
        shown = sandbox.execute("bash", {"command": "echo begun; sleep 30 & sleep 30"})
        assert shown == "begun\n[stopped: still running after 0.5 s]"
        assert time.monotonic() - start < 10


def test_the_submission_is_a_diff_with_new_files() -> None:
    with LocalSandbox(FILES) as sandbox:
        sandbox.execute("bash", {"command": "echo y >> README; echo z > new"})
        submission = sandbox.submission()
        assert sandbox.files() == {**FILES, "README": "hello\ny\n", "new": "z\n"}
    assert "+y\n" in submission
    assert "new file mode" in submission


def test_the_same_files_have_the_same_commit() -> None:
    with LocalSandbox(FILES) as one, LocalSandbox(FILES) as two:
        assert one.base_commit == two.base_commit


def test_a_sandbox_is_used_once() -> None:
    with LocalSandbox(FILES) as sandbox:
        assert sandbox.execute("submit", {}) == "Submitted."
        with pytest.raises(RuntimeError, match="used up"):
            sandbox.execute("bash", {"command": "ls"})


def test_long_output_is_cut_in_the_middle() -> None:
    shown = observation(CommandResult(output="a" * 50 + "b" * 50, exit_code=0), timeout=1, limit=10)
    assert shown == "aaaaa\n[90 characters left out]\nbbbbb"
    assert clip("abc", 3) == "abc"
