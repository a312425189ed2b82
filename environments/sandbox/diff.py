"""Make the patch of what an agent has changed.

The agent is root in its sandbox: git's configuration, hooks, attributes, index, history and git itself may be
anything, so none of it is trusted. The agent's files, without git's own, are copied into a fresh sandbox of the same
image and compared there with the image's untouched repository.
"""

import contextlib
import tempfile
from dataclasses import replace
from typing import IO

from environments.failures import EnvironmentFailure, UnusableSubmission
from environments.sandbox.container import GB, Container

PATCH_LIMIT = 50_000_000  # bytes
_FILES_LIMIT = 1_000_000_000  # bytes of all files in the repository's folder
# A tmpfs of the fresh sandbox: thousands of small files are slow to write to its disk, and to remove.
_MEMORY = "/srl-agent"
_TREE = f"{_MEMORY}/files"
_SECONDS = 300.0  # for each step below

# Settings and attributes that would run or hide something are overridden. Trees are compared, not commits: what the
# image had left uncommitted is no change of the agent.
_GIT = """
set -e
export GIT_DIR="$1/.git" GIT_INDEX_FILE=/srl-agent/index
export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C
unset XDG_CONFIG_HOME
git() {
  command git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.untrackedCache=false \
    -c core.checkStat=default -c core.trustctime=true -c core.fileMode=true -c core.sparseCheckout=false \
    -c core.autocrlf=false -c core.quotePath=true -c core.bigFileThreshold=64m -c core.looseCompression=0 \
    -c submodule.recurse=false "$@"
}
# Adding an unchanged file touches its object, which copies that object (a pack, or thousands of files) into the
# sandbox's own layer: so the unchanged files have to be known first.
snapshot() {
  export GIT_WORK_TREE="$1"
  cd -- "$1"
  git update-index -q --refresh >&2 || :
  { git add --all --ignore-errors . >&2 || [ $? = 1 ]; } && git write-tree
}
"""
_BEFORE = (
    _GIT
    + """
git rev-parse --verify --quiet 'HEAD^{commit}' >&2
attributes=$(git rev-parse --git-path info/attributes)
mkdir -p "${attributes%/*}"
echo '* !diff -text !eol !filter !ident !working-tree-encoding' > "$attributes"
git read-tree HEAD
snapshot "$1" > /srl-agent/before
"""
)
_UNPACK = """
mkdir -- "$1"
[ "$2" = 0 ] || head -c "$2" | tar -C "$1" --extract --file=- --strip-components=1 --exclude=.git --no-same-owner
"""
_AFTER = (
    _GIT
    + """
after=$(snapshot "$2")
git diff --binary --no-color --no-ext-diff --no-textconv --no-renames --ignore-submodules=all --unified=3 \
  --diff-algorithm=myers --src-prefix=a/ --dst-prefix=b/ -O/dev/null "$(cat /srl-agent/before)" "$after"
"""
)


def submission(container: Container) -> str:
    """Return the diff from the image's state to the container's. Raises EnvironmentFailure, UnusableSubmission."""
    with tempfile.TemporaryFile(prefix="srl-agent-") as files:
        _pack(container, files)
        size = files.tell()
        files.seek(0)
        return _compare(container, files, size)


def _compare(container: Container, files: IO[bytes], size: int) -> str:
    root, limits, tmpfs = container.workdir, container.limits, _FILES_LIMIT * 3 // 2
    limits = replace(limits, memory_gb=limits.memory_gb + tmpfs / GB, disk_gb=4 * _FILES_LIMIT / GB)
    limits = replace(limits, command_seconds=_SECONDS, sandbox_seconds=4 * _SECONDS)
    with Container(container.image, limits=limits, workdir=root, tmpfs={_MEMORY: tmpfs}) as fresh:
        done = fresh.script(_BEFORE, root)
        if done.exit_code != 0:
            raise EnvironmentFailure(f"image {container.image}: git cannot read its state: {done.error}")
        done = fresh.script(_UNPACK, _TREE, str(size), stdin=files)
        if done.exit_code != 0:
            raise UnusableSubmission(f"the sandbox's files cannot be unpacked: {done.error}")
        done = fresh.script(_AFTER, root, _TREE, max_output=PATCH_LIMIT + 1)
    if len(done.output) > PATCH_LIMIT:
        raise UnusableSubmission(f"the patch is larger than {PATCH_LIMIT} bytes")
    if done.exit_code != 0:
        raise UnusableSubmission(f"git cannot make a patch of the sandbox's files: {done.error}")
    return done.output.decode("utf-8", errors="surrogateescape")


def _pack(container: Container, into: IO[bytes]) -> None:
    """Write all files of the repository's folder as a tar archive; git's own may be in it, and are not unpacked."""

    def write(stream: int, data: bytes) -> None:
        if stream != 1:
            return
        if into.tell() + len(data) > _FILES_LIMIT:
            raise UnusableSubmission(f"the repository's folder holds more than {_FILES_LIMIT} bytes")
        into.write(data)

    parent, _, name = container.workdir.rpartition("/")
    argv = ["tar", "-C", f"{parent}/", "--exclude=.git", "-c", "-f", "-", "--", name]
    code, _ = container.execute(argv, write, timeout=_SECONDS, after_expiry=True)
    if code in (0, 1):  # 1: a file changed while it was read
        return
    # Without a working tar, or without room for another process: slower, and with all of git's files.
    into.seek(0)
    into.truncate()
    try:
        with contextlib.closing(container.archive(container.workdir)) as chunks:
            for chunk in chunks:
                write(1, chunk)
    except FileNotFoundError:
        return
