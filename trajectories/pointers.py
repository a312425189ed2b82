"""Files that stand for data which was not fetched: pointers of Git LFS and git-annex."""

import re

_LFS = re.compile(rb"version https?://(git-lfs|hawser)\.github\.com/spec/v1(\s|$)")
_ANNEX = re.compile(rb"[./\\]*(\.git[/\\])?annex[/\\]objects[/\\]\S+\s*")
_LONGEST = 1024  # bytes of a pointer's first line


def unfetched(line: bytes) -> str:
    """Say what to do if a file with this first line, or a link to this path, is a pointer; else return "".

    >>> unfetched(b"version https://git-lfs.github.com/spec/v1\\n")
    'a Git LFS pointer, not the data: run `git lfs pull` in its clone'
    >>> unfetched(b"../.git/annex/objects/1z/7K/SHA256E-s12--ab.jsonl/SHA256E-s12--ab.jsonl")
    'a git-annex pointer, not the data: run `git annex get` in its clone'
    """
    line = line[:_LONGEST].removeprefix(b"\xef\xbb\xbf")
    if _LFS.match(line):
        return "a Git LFS pointer, not the data: run `git lfs pull` in its clone"
    if _ANNEX.fullmatch(line):
        return "a git-annex pointer, not the data: run `git annex get` in its clone"
    return ""
