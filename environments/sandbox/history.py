"""Take from a repository, before an agent sees it, all that came after the task: the fix is among it.

Published images hold the history of a project up to the day they were made. A commit that no branch names is still
there for ``git log --all``, a reflog, or whoever lists the objects; so nothing is hidden, everything is removed, and
that it is gone is proved by a list of all objects that are left.
"""

from dataclasses import dataclass

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Container

_SECONDS = 1800.0  # a large history is packed anew
_OUTPUT = 10_000  # bytes

# Settings and attributes of whoever made the image are left aside; replacements and grafts would hide objects.
_GIT = """
set -euo pipefail
export LC_ALL=C GIT_DIR="$1/.git" GIT_WORK_TREE="$1" GIT_NO_REPLACE_OBJECTS=1
export HOME=/nonexistent GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
unset XDG_CONFIG_HOME GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
cd -- "$1"
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
git() { command git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.logAllRefUpdates=false "$@"; }
fail() { echo "$*" >&2; exit 1; }
objects() { git cat-file --batch-all-objects --batch-check='%(objectname) %(objecttype)' | sort -u > "$lists/objects"; }
count() {
  echo "$(wc -l < "$lists/objects") $(grep -c ' commit$' "$lists/objects" || :) $(git for-each-ref | wc -l)"
}
"""

# Tags of the past stay: some projects find their version by them.
_REMOVE_NAMES = r"""
[ -d .git ] || fail "$1/.git is not a folder"
[ ! -e .git/reftable ] || fail "references in a reftable are not supported"
head=$(git rev-parse --verify 'HEAD^{commit}')
branch=$(git symbolic-ref --quiet HEAD || :)
git merge-base --is-ancestor "$2" "$head" || fail "HEAD ($head) does not descend from the base commit $2"
objects; count

git worktree list --porcelain | sed -n 's/^worktree //p' | tail -n +2 > "$lists/worktrees"
while IFS= read -r tree; do rm -rf -- "$tree"; done < "$lists/worktrees"
git for-each-ref --merged="$head" --format='option no-deref%0acreate %(refname) %(objectname)' refs/tags > "$lists/tags"
git remote > "$lists/remotes"
while IFS= read -r remote; do git remote remove "$remote"; done < "$lists/remotes"
rm -rf .git/refs .git/packed-refs .git/logs .git/worktrees .git/rebase-merge .git/rebase-apply .git/sequencer \
  .git/lost-found .git/branches .git/remotes .git/info/refs .git/info/grafts .git/AUTO_MERGE .git/BISECT_* \
  .git/objects/info/packs .git/objects/info/commit-graph .git/objects/info/commit-graphs
find .git -maxdepth 1 -name '*_HEAD' -delete
mkdir -p .git/refs/heads .git/refs/tags
[ -z "$branch" ] || git update-ref "$branch" "$head"
git update-ref --stdin < "$lists/tags"
git diff --cached --quiet "$head" -- || { git read-tree "$head"; git update-index -q --refresh || :; }
"""

# The proof: no object is left that HEAD and the tags of its past do not reach; no reference is of another line.
_REMOVE_OBJECTS = r"""
unreachable() {
  objects
  git rev-list --objects --all "$head" | cut -d' ' -f1 > "$lists/reached"
  cut -d' ' -f1 "$lists/objects" | sort - "$lists/reached" "$lists/reached" | uniq -u > "$lists/left"
}
unreachable
borrowed=.git/objects/info/alternates
if [ -e $borrowed ] || [ -s "$lists/left" ]; then
  # Marks that keep packs, or parts of them, from being written anew.
  find .git/objects -type f \( -name '*.keep' -o -name '*.mtimes' -o -name '*.bitmap' -o -name 'multi-pack-index*' \
    -o -name 'tmp_*' \) -delete
  git repack -a -d -q
  if [ -e $borrowed ]; then
    mv $borrowed "$lists/borrowed"
    while IFS= read -r other; do
      (cd .git/objects && { [ ! -d "$other/pack" ] || rm -rf -- "$other"; })
    done < "$lists/borrowed"
  fi
  git prune --expire=now
  git prune-packed -q
  unreachable
fi
[ ! -s "$lists/left" ] || fail "HEAD does not reach all that is left: $(head -n 3 "$lists/left")"
[ -z "$(git for-each-ref --no-merged="$head")" ] || fail "HEAD does not reach all references that are left"
[ ! -e .git/logs ] || fail "a reflog is left"
[ "$(git rev-parse HEAD)" = "$head" ] || fail "HEAD has moved"
count; echo "$head"
"""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a repository holds."""

    objects: int
    commits: int
    references: int


@dataclass(frozen=True, kw_only=True)
class FutureReport:
    """What was removed: the difference."""

    head: str  # the commit that the box stands at; all that is left is of its past
    before: Counts
    after: Counts


def remove_future(container: Container, base_commit: str) -> FutureReport:
    """Remove all that is not in the past of HEAD, which has to be ``base_commit`` or descend from it.

    Files stay as they are, and so do HEAD and its branch. Branches, remotes, stashes, reflogs, later tags, other
    working trees and borrowed object stores go, with every object that only they reach. Raises EnvironmentFailure if
    it cannot be done, or not be proved.
    """
    done = container.script(
        _GIT + _REMOVE_NAMES + _REMOVE_OBJECTS, container.workdir, base_commit, keep=_OUTPUT, timeout=_SECONDS
    )
    if done.exit_code != 0:
        raise EnvironmentFailure(
            f"image {container.image}: what came after commit {base_commit} cannot be removed: {done.complaint}"
        )
    before, after, head = done.output.decode().splitlines()
    return FutureReport(head=head, before=_counts(before), after=_counts(after))


def _counts(line: str) -> Counts:
    objects, commits, references = (int(number) for number in line.split())
    return Counts(objects=objects, commits=commits, references=references)
