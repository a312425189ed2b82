"""Read the output of a command: decode the engine's framing, and keep head and tail in bounded memory."""

import re
import select
import socket
import struct
import time
from collections.abc import Callable

from environments.tools.bash import omission_mark

Sink = Callable[[int, bytes], None]  # takes the stream (1 stdout, 2 stderr) and a chunk of it

_CHUNK = 1 << 16  # bytes per read


class FrameDecoder:
    """The engine's framing of stdout and stderr: eight bytes (stream, size), then ``size`` bytes of data."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._header = bytearray()
        self._stream = 0
        self._remaining = 0  # bytes of the current frame
        self.total = 0

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if not self._remaining:
                missing = 8 - len(self._header)
                self._header += view[:missing]
                view = view[missing:]
                if len(self._header) < 8:
                    return
                self._stream, self._remaining = struct.unpack(">BxxxL", self._header)
                self._header.clear()
                continue
            part = bytes(view[: self._remaining])
            self._sink(self._stream, part)
            self.total += len(part)
            self._remaining -= len(part)
            view = view[len(part) :]

    def receive(self, raw: socket.socket, seconds: float) -> bool | None:
        """Wait for data and decode it. Return True; None if nothing came in time; False at the end of the stream."""
        if not _readable(raw, seconds):
            return None
        data = raw.recv(_CHUNK)
        self.feed(data)
        return bool(data)

    def drain(self, raw: socket.socket, seconds: float) -> None:
        """Decode what is on its way, for ``seconds`` at most: a process that keeps printing does not hold the call."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.receive(raw, 0.1):
            pass


class StartErrorFilter:
    """A sink that holds back output that may be the engine's message that it could not start the command.

    The caller sets ``refused`` once it knows. A program that is missing or cannot be executed does not count as a
    refusal: that is the doing of whoever works in the sandbox.
    """

    _PREFIX = b"OCI runtime exec failed"
    _FILE_ERROR = re.compile(rb"not found|no such file|permission denied|not a directory|exec format error")

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._first = True
        self._pending: list[tuple[int, bytes]] = []
        self.refused = False

    def __call__(self, stream: int, data: bytes) -> None:
        if self._pending or (self._first and data.startswith(self._PREFIX)):
            self._pending.append((stream, data))
        else:
            self._sink(stream, data)
        self._first = False

    @property
    def message(self) -> bytes:
        """The output that is held back."""
        return b"".join(data for _, data in self._pending)

    @property
    def is_refusal(self) -> bool:
        message = self.message.lower()
        return bool(message) and not self._FILE_ERROR.search(message)

    def release(self) -> None:
        """Pass on the output that was held back."""
        for stream, data in self._pending:
            self._sink(stream, data)


def read_buffered(stream: object, raw: socket.socket) -> bytes:
    """Return output that arrived together with the head of the engine's answer, when this process was slow to read.

    It is in the HTTP client's buffer, and readers of the socket miss it (as the SDK itself does).
    """
    try:
        raw.settimeout(0)
        data: bytes = stream._response.raw._fp.fp.read1(_CHUNK)  # type: ignore[attr-defined]
        return data or b""
    except (AttributeError, OSError):  # another transport; nothing there yet
        return b""


def _readable(raw: socket.socket, seconds: float) -> bool:
    pending = getattr(raw, "pending", None)  # a TLS socket may hold bytes that poll cannot see
    if pending is not None and pending():
        return True
    poll = select.poll()
    poll.register(raw, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))


class HeadAndTail:
    """The first and last bytes of an output, in bounded memory."""

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)  # bytes of head, and of tail
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, data: bytes) -> None:
        room = self._half - len(self._head)
        self._head += data[: max(room, 0)]
        self._tail += data[max(room, 0) :]
        if (extra := len(self._tail) - self._half) > self._half:  # not at every chunk: cutting costs a copy
            del self._tail[:extra]
            self._dropped += extra

    @property
    def omitted_bytes(self) -> int:
        """Number of bytes between head and tail that are not kept."""
        return self._dropped + max(len(self._tail) - self._half, 0)

    def text(self) -> str:
        """Return head and tail, with a mark for what is omitted; undecodable bytes become U+FFFD."""
        if not self.omitted_bytes:
            return bytes(self._head + self._tail).decode("utf-8", errors="replace")
        parts = bytes(self._head), bytes(self._tail[-self._half :])
        head, tail = (part.decode("utf-8", errors="replace") for part in parts)
        return f"{head}{omission_mark(self.omitted_bytes)}{tail}"
