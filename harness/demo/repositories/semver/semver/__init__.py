from semver.ranges import matches
from semver.version import Version, parse

__all__ = ["Version", "matches", "parse"]
