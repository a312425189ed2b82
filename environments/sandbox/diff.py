"""What an agent has changed, as a patch.

The agent is root in its box: git's configuration, hooks, attributes, index, history and git itself may be
anything. So nothing there is asked. Its files, git's own left out, go into a fresh box of the same image, over the
image's untouched repository, and are compared there with what the image had.
"""

import contextlib
import tempfile
from dataclasses import replace
from typing import IO

from environments.failures import EnvironmentFailure, UnusableSubmission
from environments.sandbox.container import Container

PATCH_LIMIT = 50_000_000  # bytes
_FILES_LIMIT = 1_000_000_000  # bytes of all files of the repository's folder
_MEMORY = (
    "/srl-agent"  # in the fresh box: thousands of small files are slow to write to its disk, and to remove
)
_TREE = f"{_MEMORY}/files"
_SECONDS = 300.0  # for each of the steps

# Settings and attributes that would run or hide something are overruled. Trees are compared, not commits: what the
# image had uncommitted is no one's change.
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
# To add a file that is as it was touches the object that holds it, which copies that object into the box's own layer
# (a pack, or thousands of files): so what is as it was has to be known before.
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
    """The diff from the image's state to the container's. Raises EnvironmentFailure, UnusableSubmission."""
    with tempfile.TemporaryFile(prefix="srl-agent-") as files:
        _pack(container, files)
        size = files.tell()
        files.seek(0)
        return _compare(container, files, size)


def _compare(container: Container, files: IO[bytes], size: int) -> str:
    room = _FILES_LIMIT * 3 // 2
    limits = replace(
        container.limits,
        memory_bytes=container.limits.memory_bytes + room,
        disk_bytes=4 * _FILES_LIMIT,
        command_seconds=_SECONDS,
        box_seconds=4 * _SECONDS,
    )
    root = container.workdir
    with Container(container.image, limits=limits, workdir=root, in_memory={_MEMORY: room}) as fresh:
        done = fresh.script(_BEFORE, root)
        if done.exit_code != 0:
            raise EnvironmentFailure(f"image {container.image}: git cannot tell its state: {done.complaint}")
        done = fresh.script(_UNPACK, _TREE, str(size), stdin=files)
        if done.exit_code != 0:
            raise UnusableSubmission(f"the box's files cannot be unpacked: {done.complaint}")
        done = fresh.script(_AFTER, root, _TREE, keep=PATCH_LIMIT + 1)
    if len(done.output) > PATCH_LIMIT:
        raise UnusableSubmission(f"the patch is larger than {PATCH_LIMIT} bytes")
    if done.exit_code != 0:
        raise UnusableSubmission(f"git cannot make a patch of the box's files: {done.complaint}")
    return done.output.decode("utf-8", errors="surrogateescape")


def _pack(container: Container, into: IO[bytes]) -> None:
    """All files of the repository's folder as a tar archive; git's own, which are not unpacked, may be in it."""

    def take(stream: int, data: bytes) -> None:
        if stream != 1:
            return
        if into.tell() + len(data) > _FILES_LIMIT:
            raise UnusableSubmission(f"the repository's folder holds more than {_FILES_LIMIT} bytes")
        into.write(data)

    parent, _, name = container.workdir.rpartition("/")
    argv = ["tar", "-C", f"{parent}/", "--exclude=.git", "-c", "-f", "-", "--", name]
    code, _ = container.execute(argv, take, timeout=_SECONDS, late=True)
    if code in (0, 1):  # 1: a file changed while it was read
        return
    # Without a working tar, without room for another process: slower, and with all of git's files.
    into.seek(0)
    into.truncate()
    try:
        with contextlib.closing(container.archive(container.workdir)) as chunks:
            for chunk in chunks:
                take(1, chunk)
    except FileNotFoundError:
        return
