"""What comes out of a command: the engine's framing, and a bounded memory of it."""

import select
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from environments.tools.bash import left_out_mark

Take = Callable[[int, bytes], None]  # gets the stream (1 stdout, 2 stderr) and what came

_CHUNK = 1 << 16  # bytes read at once


class Frames:
    """The engine's framing of stdout and stderr: eight bytes (stream, size), then so many bytes."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._header = bytearray()
        self._stream = 0
        self._left = 0
        self.total = 0

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._left:
                missing = 8 - len(self._header)
                self._header += view[:missing]
                view = view[missing:]
                if len(self._header) < 8:
                    return
                self._stream, self._left = struct.unpack(">BxxxL", self._header)
                self._header.clear()
                continue
            part = bytes(view[: self._left])
            self._take(self._stream, part)
            self.total += len(part)
            self._left -= len(part)
            view = view[len(part) :]

    def receive(self, raw: socket.socket, seconds: float) -> bool | None:
        """Wait for data and take it: True; None if nothing came in time; False at the end of the stream."""
        if not _ready(raw, seconds):
            return None
        data = raw.recv(_CHUNK)
        self.feed(data)
        return bool(data)

    def drain(self, raw: socket.socket, seconds: float) -> None:
        """Take what is on its way, for ``seconds`` at most: whoever goes on printing does not hold the call."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.receive(raw, 0.1):
            pass


class Held:
    """Output that may be the engine's word that it could not start the command: kept back until that is known.

    ``refused`` is set by who knows. That the program is not there, or cannot be run, is no refusal but the doing of
    whoever works in the box.
    """

    _MARK = b"OCI runtime exec failed"
    _FAULTS_OF_FILES = (
        b"not found",
        b"no such file",
        b"permission denied",
        b"not a directory",
        b"exec format error",
    )

    def __init__(self, take: Take) -> None:
        self._take = take
        self._first = True
        self._held: list[tuple[int, bytes]] = []
        self.refused = False

    def __call__(self, stream: int, data: bytes) -> None:
        if self._held or (self._first and data.startswith(self._MARK)):
            self._held.append((stream, data))
        else:
            self._take(stream, data)
        self._first = False

    @property
    def said(self) -> bytes:
        """What is kept back."""
        return b"".join(data for _, data in self._held)

    @property
    def is_refusal(self) -> bool:
        said = self.said.lower()
        return bool(said) and not any(fault in said for fault in self._FAULTS_OF_FILES)

    def release(self) -> None:
        for stream, data in self._held:
            self._take(stream, data)


def read_early(stream: Any, raw: socket.socket) -> bytes:
    """The output that came together with the head of the engine's answer, when we were slow to read that.

    It lies in the HTTP client's buffer and would be missed by whoever reads the socket (as the SDK itself does).
    """
    try:
        raw.settimeout(0)
        return stream._response.raw._fp.fp.read1(_CHUNK) or b""
    except (AttributeError, OSError):  # another transport; nothing there yet
        return b""


def _ready(raw: socket.socket, seconds: float) -> bool:
    pending = getattr(raw, "pending", None)  # a TLS socket may hold bytes that poll cannot see
    if pending is not None and pending():
        return True
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))


class Kept:
    """Head and tail of an output, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)  # bytes of head, and of tail
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail += data[max(room, 0) :]
        if (extra := len(self._tail) - self._half) > self._half:  # not at every chunk: cutting costs a copy
            del self._tail[:extra]
            self._left_out += extra

    @property
    def left_out(self) -> int:
        """Bytes between head and tail."""
        return self._left_out + max(len(self._tail) - self._half, 0)

    def text(self) -> str:
        """Undecodable bytes become marks."""
        if not self.left_out:
            return bytes(self._head + self._tail).decode("utf-8", errors="replace")
        parts = bytes(self._head), bytes(self._tail[-self._half :])
        head, tail = (part.decode("utf-8", errors="replace") for part in parts)
        return f"{head}{left_out_mark(self.left_out)}{tail}"
