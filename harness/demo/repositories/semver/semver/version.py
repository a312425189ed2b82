"""Versions of the form major.minor.patch, optionally followed by -prerelease."""

import re
from functools import total_ordering

_PATTERN = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?")


@total_ordering
class Version:
    def __init__(self, major, minor=0, patch=0, prerelease=""):
        self.major = major
        self.minor = minor
        self.patch = patch
        self.prerelease = prerelease

    def __str__(self):
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}-{self.prerelease}" if self.prerelease else text

    def _key(self):
        """A release sorts after its prereleases; numbers sort before words."""
        parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.prerelease.split(".")]
        return (self.major, self.minor, self.patch, not self.prerelease, parts)

    def __eq__(self, other):
        return self._key() == other._key()

    def __lt__(self, other):
        return self._key() < other._key()

    def __hash__(self):
        return hash(str(self))

    def bump(self, part):
        """The next version; the parts behind the bumped one start at zero."""
        if part == "major":
            return Version(self.major + 1, 0, 0)
        if part == "minor":
            return Version(self.major, self.minor + 1, 0)
        if part == "patch":
            return Version(self.major, self.minor, self.patch + 1)
        raise ValueError(f"unknown part {part!r}")


def parse(text):
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"not a version: {text!r}")
    major, minor, patch, prerelease = match.groups()
    return Version(int(major), int(minor), int(patch), prerelease or "")
