"""Bytes that are under way between two ends of a link."""

import threading
import time
from collections import deque


class Flight:
    """Pieces in order, each with the time it is due; whoever puts waits while there are too many bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, due_s: float, piece: bytes) -> None:
        """Add a piece once there is room.

        Raises:
            ConnectionError: The far end is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < self._limit_bytes)
            if self._closed:
                raise ConnectionError("the far end of the link is gone")
            self._bytes += len(piece)
            self._pieces.append((due_s, piece))
            self._changed.notify_all()

    def take(self) -> bytes:
        """The next piece, when it is due by ``time.monotonic``.

        Raises:
            ConnectionError: The near end is gone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or bool(self._pieces))
            if self._closed:
                raise ConnectionError("the near end of the link is gone")
            due_s, piece = self._pieces.popleft()
        time.sleep(max(0.0, due_s - time.monotonic()))
        return piece

    def landed(self, piece: bytes) -> None:
        """Make room: a piece that was taken is out of the link."""
        with self._changed:
            self._bytes -= len(piece)
            self._changed.notify_all()

    def close(self) -> None:
        """Let go of whoever waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
