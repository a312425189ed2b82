"""Readers, one for each format of trajectories."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from trajectories.ledger import FileLedger
from trajectories.readers import (
    anthropic,
    atif,
    claude_code,
    math,
    mini_swe_agent,
    moatless,
    openai,
    openhands,
    openhands_sdk,
    pivot,
    responses,
    swe_agent,
    swe_smith,
    trae,
)
from trajectories.readers import store as own
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


class Reader(Protocol):
    """A reader of one document that counts each trajectory in the ledger before it yields it.

    May raise LookupError, TypeError, ValueError or AttributeError for a document that is not of its format.
    """

    def __call__(self, document: Document, ledger: FileLedger, /) -> Iterator[Trajectory]: ...


READERS: Mapping[str, Reader] = {
    "anthropic": anthropic.read,
    "atif": atif.read,
    "claude-code": claude_code.read,
    "math": math.read_solutions,
    "mini-swe-agent": mini_swe_agent.read,
    "moatless": moatless.read,
    "openai": openai.read,
    "openhands": openhands.read,
    "openhands-sdk": openhands_sdk.read,
    "pivot": pivot.read,
    "responses": responses.read,
    "s1k": math.read_s1k,
    "store": own.read,
    "swe-agent": swe_agent.read,
    "swe-smith": swe_smith.read,
    "trae": trae.read,
}
