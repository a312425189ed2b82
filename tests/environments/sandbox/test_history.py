"""The history after a task's base commit is removed from a repository, and the removal is proved."""

from collections.abc import Iterator

import pytest

from environments.failures import EnvironmentFailure
from environments.sandbox.container import Container, Limits
from environments.sandbox.history import strip_future_commits

GIT = """
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
set -e
commit() { echo "$1" > "$1"; git add "$1"; git commit --quiet --message "$1"; }
"""
# A project as it is today, cloned, and put back to what it was: with everything that can hold on to the time between.
HISTORY = (
    GIT
    + """
git init --quiet --initial-branch=main /upstream && cd /upstream
commit one; git tag -a v1 -m "release 1"; commit base; git tag lightweight
commit fix; git tag -a v2 -m "release 2"; commit later
git checkout --quiet -b feature; commit feature; git checkout --quiet main
rm -rf /testbed && git clone --quiet /upstream /testbed && cd /testbed
git reset --quiet --hard lightweight
echo setup > setup.cfg && git add . && git commit --quiet --message SWE-bench
git checkout --quiet -b other && commit loose-secret && git checkout --quiet main && git branch --quiet -D other
echo stashed > base && git stash --quiet
git worktree add --quiet --detach /elsewhere v2
git fetch --quiet origin
git notes add -m "the fix is easy" v2
git replace v1^{} v2^{}
git tag of-a-file v2:fix
git update-ref refs/pull/1/head v2^{}
echo dirty >> one; echo untracked > new
git rev-parse lightweight
"""
)
SECRETS = ("fix", "later", "feature", "loose-secret", "stashed", "release 2", "the fix is easy")


@pytest.fixture
def sandbox(image: str) -> Iterator[Container]:
    with Container(image, limits=Limits(command_seconds=60)) as container:
        yield container


def done(sandbox: Container, command: str) -> str:
    result = sandbox.run(command)
    assert result.exit_code == 0, result.output
    return result.output.strip()


def contents(sandbox: Container) -> str:
    """Return every object in the store as plain text."""
    return done(
        sandbox,
        "git cat-file --batch-all-objects --batch-check='%(objectname) %(objecttype)' | "
        "while read -r name type; do echo $type; git cat-file -p $name; done",
    )


PACKINGS = {
    "loose": ":",
    "kept": "git repack -a -d -q --keep-unreachable; "
    "for pack in .git/objects/pack/*.pack; do touch ${pack%pack}keep; done",
    "cruft": "git repack -d -q --cruft; git commit-graph write --reachable; git multi-pack-index write",
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_no_history_after_the_base_commit_is_left(sandbox: Container, packing: str) -> None:
    base = done(sandbox, HISTORY).splitlines()[-1]
    done(sandbox, PACKINGS[packing])
    found = contents(sandbox)
    assert all(secret in found for secret in SECRETS)
    before = done(
        sandbox, "git status --porcelain; git rev-parse HEAD; git symbolic-ref HEAD; cat one new base"
    )

    report = strip_future_commits(sandbox, base)

    assert (
        done(sandbox, "git status --porcelain; git rev-parse HEAD; git symbolic-ref HEAD; cat one new base")
        == before
    )
    left = contents(sandbox)
    assert not [secret for secret in SECRETS if f"{secret}\n" in left]
    assert done(sandbox, "git log --all --reflog --format=%s").split() == ["SWE-bench", "base", "one"]
    assert done(sandbox, "git for-each-ref --format='%(refname)'").split() == [
        "refs/heads/main",
        "refs/tags/lightweight",
        "refs/tags/v1",
    ]
    assert done(sandbox, "git describe --tags --abbrev=0") == "lightweight"
    assert done(sandbox, "git remote; git stash list; git reflog; ls /elsewhere 2>/dev/null || :") == ""
    assert done(sandbox, "git fsck --full --strict --no-dangling") == ""
    assert report.head == done(sandbox, "git rev-parse HEAD")
    assert (report.after.commits, report.after.references) == (3, 3)
    assert report.before.commits > 8
    assert report.before.references > 8
    assert report.after.objects == int(
        done(sandbox, "git cat-file --batch-all-objects --batch-check | wc -l")
    )
    assert strip_future_commits(sandbox, base).after == report.after  # nothing to do


def test_borrowed_objects_are_removed_from_their_store(sandbox: Container) -> None:
    script = GIT + (
        "git init --quiet /mirror; cd /mirror; commit base; commit fix; git repack -a -d -q; rm -rf /testbed; "
        "git clone --quiet --shared /mirror /testbed; cd /testbed; git reset --quiet --hard HEAD~1; git rev-parse HEAD"
    )
    base = done(sandbox, script).splitlines()[-1]
    report = strip_future_commits(sandbox, base)
    assert (report.before.commits, report.after.commits) == (2, 1)
    assert "fix" not in contents(sandbox)
    assert done(sandbox, "ls /mirror/.git/objects 2>/dev/null || :") == ""
    assert done(sandbox, "git fsck --full; cat base") == "base"


def test_a_detached_head_and_staged_files_stay(sandbox: Container) -> None:
    script = (
        GIT
        + "git init --quiet; commit base; commit fix; git checkout --quiet --detach HEAD~1; echo s > staged; "
    )
    base = done(sandbox, script + "git add staged; git rev-parse HEAD")
    report = strip_future_commits(sandbox, base)
    assert (report.head, report.after.references) == (base, 0)
    assert done(sandbox, "cat staged; git status --porcelain; git branch") == "s\n?? staged\n* (no branch)"


def test_a_head_outside_the_base_commits_line_is_a_failure(sandbox: Container) -> None:
    script = (
        GIT + "git init --quiet; commit one; commit two; git rev-parse HEAD; git reset --quiet --hard HEAD~1"
    )
    later = done(sandbox, script)
    with pytest.raises(EnvironmentFailure, match=f"does not descend from the base commit {later}"):
        strip_future_commits(sandbox, later)
    with pytest.raises(EnvironmentFailure, match="cannot be removed"):
        strip_future_commits(sandbox, "0" * 40)
    done(sandbox, "rm -rf .git")
    with pytest.raises(EnvironmentFailure, match="is not a folder"):
        strip_future_commits(sandbox, later)


def test_an_unproved_removal_is_a_failure(sandbox: Container) -> None:
    base = done(
        sandbox,
        GIT
        + "git init --quiet; commit base; commit fix; git reset --quiet --hard HEAD~1; git rev-parse HEAD",
    )
    done(sandbox, "mv /usr/bin/git /usr/bin/git.real")
    sandbox.write(
        "/usr/bin/git",
        b'#!/bin/bash\nfor word; do case $word in prune|repack) exit 0;; esac; done\nexec git.real "$@"\n',
    )
    done(sandbox, "chmod +x /usr/bin/git")
    with pytest.raises(EnvironmentFailure, match="HEAD does not reach all that is left"):
        strip_future_commits(sandbox, base)
