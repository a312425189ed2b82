"""``json.loads``, faster: by msgspec, and by :mod:`json` itself for what msgspec refuses."""

import json

import msgspec

from trajectories.types import JSON

_DECODE = msgspec.json.Decoder().decode


def loads(text: bytes | str) -> JSON:
    r"""Return what ``json.loads`` returns for a text, or for bytes that are UTF-8. Raises what it raises.

    msgspec refuses what is JSON for Python alone (NaN, lone surrogates, 1e400) and gives equal values for the rest.

    >>> loads(b'[18446744073709551616, -0.0, NaN, "\\ud800"]')
    [18446744073709551616, -0.0, nan, '\ud800']
    """
    try:
        return _DECODE(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
