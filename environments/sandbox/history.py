"""Remove from a repository, before an agent sees it, all history after the task's base commit: it contains the fix.

Published images hold a project's history up to the day they were made. A commit without a branch is still visible to
``git log --all``, in a reflog and in a listing of the objects. So nothing is hidden: everything is removed, and a list
of all remaining objects proves it.
"""

from dataclasses import dataclass

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Container

_SECONDS = 1800.0  # a large history is repacked
_OUTPUT_LIMIT = 10_000  # bytes

# Settings and attributes of the image are ignored; replacements and grafts would hide objects.
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

# Tags before the base commit stay: some projects read their version from them.
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

# The proof: HEAD and the tags before it reach every remaining object, and no reference is outside HEAD's history.
_REMOVE_OBJECTS = r"""
unreachable() {
  objects
  git rev-list --objects --all "$head" | cut -d' ' -f1 > "$lists/reached"
  cut -d' ' -f1 "$lists/objects" | sort - "$lists/reached" "$lists/reached" | uniq -u > "$lists/left"
}
unreachable
borrowed=.git/objects/info/alternates
if [ -e $borrowed ] || [ -s "$lists/left" ]; then
  # Markers that keep packs, or parts of them, from being rewritten.
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


@dataclass(frozen=True)
class HistorySize:
    """Numbers of objects, commits and references of a repository."""

    objects: int
    commits: int
    references: int


@dataclass(frozen=True, kw_only=True)
class PostBaseHistory:
    """The history that was removed, as sizes before and after."""

    head: str  # the commit checked out in the sandbox; it reaches everything that is left
    before: HistorySize
    after: HistorySize


def strip_future_commits(container: Container, base_commit: str) -> PostBaseHistory:
    """Remove every commit that HEAD does not reach; HEAD has to be ``base_commit`` or a descendant of it.

    Files, HEAD and its branch stay as they are. Other branches, remotes, stashes, reflogs, later tags, other working
    trees and borrowed object stores are removed, with every object that only they reach. Raises EnvironmentFailure if
    the removal fails or cannot be proved.
    """
    script = _GIT + _REMOVE_NAMES + _REMOVE_OBJECTS
    root = container.workdir
    done = container.script(script, root, base_commit, max_output=_OUTPUT_LIMIT, timeout=_SECONDS)
    if done.exit_code != 0:
        what = f"the history after commit {base_commit}"
        raise EnvironmentFailure(f"image {container.image}: {what} cannot be removed: {done.error}")
    *sizes, head = done.output.decode().splitlines()
    before, after = (HistorySize(*map(int, line.split())) for line in sizes)
    return PostBaseHistory(head=head, before=before, after=after)
