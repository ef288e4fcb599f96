"""One direction of an HTTP/2 connection, cut into frames, and a stream's data into gRPC messages.

Sources: RFC 9113, section 4.1; gRPC over HTTP2, "Length-Prefixed-Message".
"""

from collections.abc import Iterator
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS = 0, 1
#: What every peer must take in one frame.
LARGEST_PAYLOAD_BYTES = 16384

_FRAME_HEADER_BYTES = 9
_MESSAGE_HEADER_BYTES = 5


@dataclass(frozen=True)
class Frame:
    """A frame: of which kind, with which flags, of which stream."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    def wire(self) -> bytes:
        """As it is sent."""
        header = len(self.payload).to_bytes(3) + bytes((self.kind, self.flags)) + self.stream.to_bytes(4)
        return header + self.payload


class Frames:
    """Takes bytes as they come; gives whole frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are whole now."""
        self._rest += data
        while len(self._rest) >= _FRAME_HEADER_BYTES:
            end = _FRAME_HEADER_BYTES + int.from_bytes(self._rest[:3])
            if len(self._rest) < end:
                return
            kind, flags, stream = self._rest[3], self._rest[4], int.from_bytes(self._rest[5:9]) & 0x7FFFFFFF
            yield Frame(kind, flags, stream, bytes(self._rest[_FRAME_HEADER_BYTES:end]))
            del self._rest[:end]


class Messages:
    """Takes a stream's data; gives whole messages, each with the five bytes before it, and its number."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._count = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the messages that are whole now."""
        self._rest += data
        while len(self._rest) >= _MESSAGE_HEADER_BYTES:
            end = _MESSAGE_HEADER_BYTES + int.from_bytes(self._rest[1:5])
            if len(self._rest) < end:
                return
            yield self._count, bytes(self._rest[:end])
            self._count += 1
            del self._rest[:end]
