"""The agent's tools in a container give the same observations as elsewhere."""

from collections.abc import Callable, Iterator

import pytest

from environments.failures import EnvironmentFailure, SandboxExpired
from environments.sandbox.agent import FILE_LIMIT, AgentSandbox
from environments.sandbox.container import Container, Limits
from environments.sandbox.local import LocalSandbox

FILES = {
    "pkg/a.py": "x = 1\ny = 2\n",
    "pkg/sub/deep/er.py": "",
    "pkg/.hidden": "",
    "README": "hello\n",
    "a b": "with 'quotes' and $(id)\n",
    "-n": "dash\n",
    "empty": "",
}
EDITOR = "str_replace_editor"
CALLS: list[tuple[str, dict[str, object]]] = [
    ("bash", {"command": "pwd; cat README; ls pkg"}),
    ("bash", {"command": "cd pkg; export X=1"}),
    ("bash", {"command": "pwd; echo $X; exit 3"}),
    ("bash", {"command": "true"}),
    ("bash", {"command": "printf 'a\\377b'; seq 20000"}),
    ("bash", {}),
    ("bash", {"command": ["ls"]}),
    ("bash", {"command": "echo a\0b"}),
    ("bash", {"command": "echo \ud800"}),
    ("bash", {"command": "echo " + "x" * 200_000}),
    ("browse", {"url": "x"}),
    (EDITOR, {"command": "view", "path": "/testbed"}),
    (EDITOR, {"command": "view", "path": "/testbed/pkg/"}),
    (EDITOR, {"command": "view", "path": "/testbed/pkg", "view_range": [1, 2]}),
    (EDITOR, {"command": "view", "path": "/testbed/pkg/a.py"}),
    (EDITOR, {"command": "view", "path": "/testbed//pkg/./a.py", "view_range": "[2, -1]"}),
    (EDITOR, {"command": "view", "path": "/testbed/empty"}),
    (EDITOR, {"command": "view", "path": "/testbed/a b"}),
    (EDITOR, {"command": "view", "path": "/testbed/-n"}),
    (EDITOR, {"command": "view", "path": "/testbed/no"}),
    (EDITOR, {"command": "view", "path": "/testbed/README/x"}),
    (EDITOR, {"command": "view", "path": "/testbed/" + "x" * 300}),
    (EDITOR, {"command": "view", "path": "/testbed/\0"}),
    (EDITOR, {"command": "view", "path": "README"}),
    (EDITOR, {"command": "open", "path": "/testbed/README"}),
    (EDITOR, {"command": "str_replace", "path": "/testbed/pkg", "old_str": "a"}),
    (
        EDITOR,
        {"command": "str_replace", "path": "/testbed/pkg/a.py", "old_str": "= 1", "new_str": "= 3\n# ä"},
    ),
    (EDITOR, {"command": "str_replace", "path": "/testbed/pkg/a.py", "old_str": "z"}),
    (EDITOR, {"command": "insert", "path": "/testbed/pkg/a.py", "insert_line": 1, "new_str": "z = 0"}),
    (EDITOR, {"command": "create", "path": "/testbed/README", "file_text": "x"}),
    (EDITOR, {"command": "create", "path": "/testbed/pkg", "file_text": "x"}),
    (EDITOR, {"command": "create", "path": "/testbed/no/x", "file_text": "x"}),
    (EDITOR, {"command": "create", "path": "/testbed/README/x", "file_text": "x"}),
    (EDITOR, {"command": "create", "path": "/testbed/" + "x" * 300, "file_text": "x"}),
    (EDITOR, {"command": "create", "path": "/testbed/new'\"\n$(touch evil)", "file_text": "x\n"}),
    (EDITOR, {"command": "undo_edit", "path": "/testbed/new'\"\n$(touch evil)"}),
    (EDITOR, {"command": "undo_edit", "path": "/testbed/new'\"\n$(touch evil)"}),
    (EDITOR, {"command": "undo_edit", "path": "/testbed/pkg/a.py"}),
    (EDITOR, {"command": "view", "path": "/proc/self/mem"}),
    ("bash", {"command": "cat pkg/a.py; ls"}),
    ("submit", {}),
]


@pytest.fixture
def sandbox(repository_image: str) -> Iterator[AgentSandbox]:
    with AgentSandbox(Container(repository_image, limits=Limits(command_seconds=20))) as sandbox:
        yield sandbox


def test_every_call_shows_what_the_local_sandbox_shows(image: str) -> None:
    with LocalSandbox(FILES) as local, AgentSandbox(Container(image)) as sandbox:
        for name, text in FILES.items():
            sandbox.write(name, text)
        for tool, arguments in CALLS:
            assert sandbox.execute(tool, arguments) == local.execute(tool, arguments), (tool, arguments)
        with pytest.raises(RuntimeError, match="used up"):
            sandbox.execute("bash", {"command": "ls"})
        assert sandbox.submitted


@pytest.mark.parametrize("finishing", ["submit", "task_done", "finish"])
def test_tools_have_aliases(sandbox: AgentSandbox, finishing: str) -> None:
    assert sandbox.execute("execute_bash", {"command": "cat README"}) == "hello"
    view = {"command": "view", "path": "/testbed/README"}
    assert sandbox.execute("str_replace_based_edit_tool", view) == sandbox.execute("str_replace_editor", view)
    assert sandbox.execute(finishing, {}) == "Submitted."


def test_a_reached_limit_is_in_the_observation(repository_image: str) -> None:
    with AgentSandbox(Container(repository_image, limits=Limits(command_seconds=1))) as sandbox:
        shown = sandbox.execute("bash", {"command": "echo begun; sleep 30"})
        assert shown == "begun\n[stopped: still running after 1 s]"


def test_reading_a_special_file_does_not_block(sandbox: AgentSandbox) -> None:
    sandbox.run("mkfifo pipe; ln -s pipe to-pipe; ln -s /dev/zero endless; ln -s loop loop")
    for name in ("pipe", "to-pipe", "endless"):
        path = f"/testbed/{name}"
        for call in ({"command": "view"}, {"command": "str_replace", "old_str": "a", "new_str": "b"}):
            shown = sandbox.execute("str_replace_editor", {**call, "path": path})
            assert shown == f"ERROR: Cannot read {path}: Invalid argument."
        assert sandbox.read(name) is None
        with pytest.raises(OSError, match="not a regular file"):
            sandbox.write(name, "x")
    shown = sandbox.execute("str_replace_editor", {"command": "view", "path": "/testbed/loop"})
    assert shown == "ERROR: There is no file or folder /testbed/loop."


def test_files_that_are_too_large_are_not_read(sandbox: AgentSandbox) -> None:
    sandbox.run(f"head -c {FILE_LIMIT + 1} /dev/zero > big")
    shown = sandbox.execute("str_replace_editor", {"command": "view", "path": "/testbed/big"})
    assert shown == "ERROR: Cannot read /testbed/big: File too large."
    assert sandbox.read("big") is None


def test_one_enormous_line_is_cut(sandbox: AgentSandbox) -> None:
    sandbox.write("line", "x" * 5_000_000 + "end")
    arguments = {"command": "str_replace", "path": "/testbed/line", "old_str": "end", "new_str": "END"}
    assert len(sandbox.execute("str_replace_editor", arguments)) < 32_000
    text = sandbox.read("line")
    assert text is not None
    assert text.endswith("xEND")


def test_observations_are_text_that_can_be_encoded(sandbox: AgentSandbox) -> None:
    sandbox.run("printf 'caf\\351\\n' > latin; printf x > $(printf 'n\\351')")
    shown = sandbox.execute("str_replace_editor", {"command": "view", "path": "/testbed/latin"})
    assert shown.endswith("1\tcaf\ufffd")
    sandbox.execute("str_replace_editor", {"command": "view", "path": "/testbed"}).encode()


def test_reading_and_writing_stay_in_the_repository(sandbox: AgentSandbox) -> None:
    assert (
        sandbox.read("README")
        == sandbox.read("/testbed/README")
        == sandbox.read("pkg/../README")
        == "hello\n"
    )
    assert sandbox.read("no") is None
    assert sandbox.read("pkg") is None
    assert sandbox.read("data.bin") is None
    sandbox.write("new/folder/ä.txt", "text\n")
    assert sandbox.read("new/folder/ä.txt") == "text\n"
    for path in ("../etc/passwd", "/etc/passwd", "", ".", "/testbed2/x"):
        assert sandbox.read(path) is None
        with pytest.raises(FileNotFoundError, match="outside of the repository"):
            sandbox.write(path, "x")
    with pytest.raises(OSError, match="cannot be written"):
        sandbox.write("README/x", "x")


def test_the_image_s_python_is_found(image: str) -> None:
    container = Container(image)
    container.write("/opt/env/bin/python", b"#!/bin/sh\necho the right one\n")
    container.run("chmod +x /opt/env/bin/python")
    container.write("/root/.bashrc", b"echo hello\nexport PATH=/opt/env/bin:$PATH ENV_NAME='a b'\n")
    with AgentSandbox(container) as sandbox:
        assert sandbox.run("python; echo $ENV_NAME").output == "the right one\na b\n"
        assert sandbox.execute("bash", {"command": "python; pwd"}) == "the right one\n/testbed"


def test_a_login_shell_that_hangs_or_fails_is_ignored(image: str) -> None:
    container = Container(image, limits=Limits(command_seconds=2))
    container.write("/root/.bashrc", b"sleep 100\n")
    with AgentSandbox(container) as sandbox:
        assert sandbox.run("echo works").output == "works\n"
    container = Container(image)
    container.write("/root/.bashrc", b"exit 1\n")
    with AgentSandbox(container) as sandbox:
        assert sandbox.run("echo works").output == "works\n"


def test_an_expired_sandbox_raises_and_still_submits(repository_image: str) -> None:
    with AgentSandbox(Container(repository_image, limits=Limits(sandbox_seconds=4))) as sandbox:
        sandbox.run("echo 'x = 2' > pkg/a.py")
        shown = sandbox.execute("bash", {"command": "sleep 60"})
        assert shown.startswith("The command printed nothing.\n[stopped: still running after 3.")
        for call in (
            lambda: sandbox.execute("bash", {"command": "ls"}),
            lambda: sandbox.run("ls"),
            lambda: sandbox.read("README"),
            lambda: sandbox.write("README", ""),
        ):
            with pytest.raises(TimeoutError, match="lifetime of 4 s is over") as caught:
                call()
            assert caught.type is SandboxExpired
        assert "+x = 2\n" in sandbox.submission()


def test_a_removed_sandbox_raises_environment_failure(sandbox: AgentSandbox) -> None:
    sandbox.container.close()
    calls: list[Callable[[], object]] = [
        lambda: sandbox.execute("bash", {"command": "ls"}),
        lambda: sandbox.execute("str_replace_editor", {"command": "view", "path": "/testbed"}),
        lambda: sandbox.read("README"),
        lambda: sandbox.submission(),
    ]
    for call in calls:
        with pytest.raises(EnvironmentFailure, match="gone"):
            call()
