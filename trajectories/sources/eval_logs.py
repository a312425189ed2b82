"""Logs of Inspect in an archive (``.eval``): a header, and one member a sample."""

import json
import zipfile
from collections.abc import Iterator
from typing import IO

from trajectories.sources.archives import Member, zip_members
from trajectories.types import JSON, JSONObject

# The header is written last: an interrupted run has only what its journal began with.
_HEADERS = ("header.json", "_journal/start.json")
_OF_THE_LOG = ("version", "status", "eval")


def is_eval_log(name: str) -> bool:
    return name.endswith(".eval")


def header_of(stream: IO[bytes], limit: int) -> JSONObject:
    """Return what a log says of all its samples, empty if that cannot be read. Raises zipfile.BadZipFile."""
    found: dict[str, JSONObject] = {}
    for member in zip_members(stream, lambda path: path in _HEADERS):
        try:
            value = json.loads(member.body.read(limit)) if member.body else None
        except (ValueError, RecursionError, EOFError, zipfile.BadZipFile):
            value = None
        if isinstance(value, dict):
            found[member.path] = value
    return next((found[path] for path in _HEADERS if path in found), {})


def sample_members(stream: IO[bytes]) -> Iterator[Member]:
    """Yield the members that are samples; the others sum them up. Raises zipfile.BadZipFile."""
    return zip_members(stream, lambda path: path.startswith("samples/"))


def as_log(header: JSONObject, sample: JSON) -> JSONObject:
    """Return the log of one sample, in the form of a whole ``.json`` log."""
    return {**{key: header[key] for key in _OF_THE_LOG if key in header}, "samples": [sample]}
