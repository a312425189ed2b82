"""Readers, one for each format of trajectories."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from trajectories.ledger import FileLedger
from trajectories.readers import inspect_log, math
from trajectories.readers import store as own
from trajectories.readers.chat import adp, ai_sdk, anthropic, openai, pivot, r2e_gym, responses
from trajectories.readers.harbor import atif
from trajectories.readers.scaffolds import (
    mini_swe_agent,
    moatless,
    openhands,
    openhands_sdk,
    swe_agent,
    swe_smith,
    trae,
)
from trajectories.readers.sessions import (
    claude_code,
    claude_stream,
    codex,
    gemini,
    iflow,
    opencode,
    opencode_stream,
    pi,
    qwen_code,
)
from trajectories.sources.documents import Document
from trajectories.types import Trajectory


class Reader(Protocol):
    """A reader of one document that counts each trajectory in the ledger before it yields it.

    May raise LookupError, TypeError, ValueError or AttributeError for a document that is not of its format.
    """

    def __call__(self, document: Document, ledger: FileLedger, /) -> Iterator[Trajectory]: ...


READERS: Mapping[str, Reader] = {
    "adp": adp.read,
    "ai-sdk": ai_sdk.read,
    "anthropic": anthropic.read,
    "atif": atif.read,
    "claude-code": claude_code.read,
    "claude-stream": claude_stream.read,
    "codex": codex.read,
    "gemini": gemini.read,
    "iflow": iflow.read,
    "inspect": inspect_log.read,
    "math": math.read_solutions,
    "mini-swe-agent": mini_swe_agent.read,
    "moatless": moatless.read,
    "openai": openai.read,
    "opencode": opencode.read,
    "opencode-stream": opencode_stream.read,
    "openhands": openhands.read,
    "openhands-sdk": openhands_sdk.read,
    "pi": pi.read,
    "pivot": pivot.read,
    "qwen-code": qwen_code.read,
    "r2e-gym": r2e_gym.read,
    "responses": responses.read,
    "s1k": math.read_s1k,
    "store": own.read,
    "swe-agent": swe_agent.read,
    "swe-smith": swe_smith.read,
    "trae": trae.read,
}
