"""The patch is correct regardless of the state of git in the agent's sandbox."""

from collections.abc import Iterator

import pytest

from environments.failures import EnvironmentFailure, UnusableSubmission
from environments.sandbox import diff as module
from environments.sandbox.container import Container, Limits
from environments.sandbox.diff import submission

CHANGE = "echo 'x = 2' > pkg/a.py; echo 'z = 3' > pkg/new.py; "
LIMITS = Limits(command_seconds=30, pids=100)
FILES = (
    "find . -name .git -prune -o -printf '%y %m %p %l\\n' | sort; "
    "find . -name .git -prune -o -type f -print0 | sort -z | xargs -0 sha256sum"
)


@pytest.fixture
def sandbox(repository_image: str) -> Iterator[Container]:
    with Container(repository_image, limits=LIMITS) as container:
        yield container


@pytest.fixture(scope="module")
def plain(repository_image: str) -> str:
    """Return the patch of CHANGE with git untouched."""
    with Container(repository_image, limits=LIMITS) as container:
        container.run(CHANGE)
        patch = submission(container)
    assert "-x = 1\n-y = 2\n+x = 2\n" in patch
    assert "diff --git a/pkg/new.py b/pkg/new.py\nnew file mode 100644\n" in patch
    assert patch.count("diff --git") == 2  # not what the image had left uncommitted
    return patch


def test_no_change_is_an_empty_patch(sandbox: Container) -> None:
    assert submission(sandbox) == ""


FILL = """
import os, time
try:
    while os.fork(): pass
    time.sleep(1000)
except OSError: pass
"""
EVIL = "touch /tmp/ran; exit 1"
TRICKS = {
    "configuration": f"git config diff.external '{EVIL}'; git config core.fsmonitor '{EVIL}'; git config core.pager "
    f"'{EVIL}'; git config diff.noprefix true; git config color.ui always; git config core.worktree /tmp; "
    "git config core.autocrlf true; git config core.bare true",
    "global configuration": f"printf '[core]\\nfsmonitor=\"{EVIL}\"\\nexcludesFile=/tmp/all\\n[diff]\\nnoprefix\\n' "
    "> ~/.gitconfig; cp ~/.gitconfig /etc/gitconfig; echo '*' > /tmp/all",
    "filters": f"git config filter.evil.clean '{EVIL}'; git config diff.evil.textconv '{EVIL}'; "
    "echo '*.py filter=evil diff=evil' > .git/info/attributes",
    "hooks": "for hook in pre-commit post-index-change pre-auto-gc; do "
    f"printf '#!/bin/sh\\n{EVIL}\\n' > .git/hooks/$hook; chmod +x .git/hooks/$hook; done",
    "exclusion": "echo '*' > .git/info/exclude; git update-index --assume-unchanged pkg/a.py",
    "no index": "rm .git/index",
    "broken index": "echo nonsense > .git/index",
    "locked index": "touch .git/index.lock",
    "staged": "git add --all",
    "committed": "git add --all; git -c user.name=a -c user.email=a commit --quiet --message done",
    "another branch": "git checkout --quiet --orphan other; git add --all; git commit --quiet --message other",
    "broken head": "echo nonsense > .git/HEAD",
    "base removed": "git checkout --quiet --orphan x; git commit --quiet -am x; git branch -D main; "
    "rm -rf .git/logs; git gc --quiet --prune=now",
    "no repository": "rm -rf .git",
    "new repository": "rm -rf .git; git init --quiet; git add --all; git commit --quiet --message mine",
    "repository elsewhere": "mv .git /tmp/moved; ln -s /tmp/moved .git",
    "repository is a file": "rm -rf .git; echo 'gitdir: /etc' > .git",
    "nested repositories": "git init --quiet pkg; git init --quiet build/x",
    "git replaced": "printf '#!/bin/sh\\nwhile :; do :; done\\n' > $(command -v git)",
    "full of processes": f"python3 -c '{FILL}'",
    "always writing": "while :; do date >> build/log; done > /dev/null 2>&1 &",
    "all processes killed": "kill -9 -1",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_with_git_change_nothing(sandbox: Container, plain: str, trick: str) -> None:
    sandbox.run(CHANGE + TRICKS[trick], timeout=10)
    assert submission(sandbox) == plain
    assert sandbox.read("/tmp/ran") is None


def test_the_agents_attributes_do_not_hide_or_change_anything(sandbox: Container, plain: str) -> None:
    sandbox.run(
        CHANGE + "echo '*.py -diff -text binary ident filter=x working-tree-encoding=UTF-16' > .gitattributes"
    )
    assert plain.removeprefix("diff --git") in submission(sandbox)


def test_the_patch_reproduces_the_files(sandbox: Container, repository_image: str) -> None:
    sandbox.run(r"""
        printf 'x = 1\r\ny = 2' > pkg/a.py; printf 'a\000c\377' > data.bin; printf 'one\r\nTWO\r\n' > crlf.txt
        printf 'one\r\nTWO\r\n' > run.bat; printf '\377\376 latin \351\n' > latin.dat
        head -c 100000 /dev/urandom > new.bin
        chmod -x tool.sh; chmod +x README; rm link; ln -s pkg/a.py link2; mkdir -p deep/er; : > deep/er/empty
        echo 1 > 'a b'; echo 2 > -n; echo 3 > "$(printf 'new\nline\t"q"')"; echo 4 > ä; echo 5 > build/kept
        git mv README READ-ME; mv pkg package
    """)
    patch = submission(sandbox)
    assert "GIT binary patch" in patch
    wanted = sandbox.run(FILES).output
    with Container(repository_image) as fresh:
        fresh.write("/tmp/patch", patch.encode("utf-8", errors="surrogateescape"))
        applied = fresh.run("git apply --verbose /tmp/patch")
        assert applied.exit_code == 0, applied.output
        assert fresh.run(FILES).output == wanted


def test_ignored_files_are_excluded_and_files_git_refuses_do_not_spoil_the_rest(
    sandbox: Container, plain: str
) -> None:
    sandbox.run(
        CHANGE
        + "echo x > pkg/a.pyc; echo x > build/new; echo x > 'git~1'; mkfifo pipe; mkdir .GIT; echo x > .GIT/x"
    )
    assert submission(sandbox) == plain


def test_an_oversized_submission_is_an_error(sandbox: Container, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.run("head -c 3000000 /dev/urandom > big")
    monkeypatch.setattr(module, "PATCH_LIMIT", 1_000_000)
    with pytest.raises(UnusableSubmission, match="patch is larger than 1000000 bytes"):
        submission(sandbox)
    monkeypatch.setattr(module, "_FILES_LIMIT", 2_000_000)
    with pytest.raises(UnusableSubmission, match="holds more than 2000000 bytes"):
        submission(sandbox)


@pytest.mark.parametrize("ruin", ["rm $(command -v tar bash)", "rm -rf --no-preserve-root /usr"])
def test_a_destroyed_sandbox_still_submits_its_files(sandbox: Container, plain: str, ruin: str) -> None:
    sandbox.run(CHANGE + ruin)
    assert submission(sandbox) == plain


def test_removing_all_files_is_a_patch(sandbox: Container) -> None:
    sandbox.run("rm -rf /testbed")
    patch = submission(sandbox)
    assert patch.count("deleted file mode") == patch.count("diff --git") == 11
    assert sandbox.run("mkdir /testbed; pwd").output.endswith("No such file or directory\n/\n")
    assert sandbox.run("pwd").output == "/testbed\n"


def test_a_removed_sandbox_or_an_image_without_git_is_an_environment_failure(
    sandbox: Container, image: str
) -> None:
    sandbox.close()
    with pytest.raises(EnvironmentFailure, match="gone"):
        submission(sandbox)
    with Container(image) as bare, pytest.raises(EnvironmentFailure, match="git cannot read its state"):
        submission(bare)
