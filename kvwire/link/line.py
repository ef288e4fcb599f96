"""When bytes that are put on a line reach its far end."""

import math
import threading
import time
from collections.abc import Callable
from random import Random

from kvwire.link.shape import Shape

#: What one segment of TCP carries over Ethernet with time stamps, in bytes.
SEGMENT_BYTES = 1448

# The line is given pieces that take it so long: often enough for an even flow, seldom enough to cost no core.
_PIECE_S = 2e-3
# Larger ones only add latency: at 10 Gbit/s such a piece takes 0.2 ms.
_LARGEST_PIECE_BYTES = 256 * 1024


class Line:
    """One direction of a link. All connections share it: pieces go one after the other, whosever they are.

    Times are absolute and by ``clock``, so that who wakes late makes nothing after it late.
    """

    def __init__(self, shape: Shape, random: Random, clock: Callable[[], float] = time.monotonic) -> None:
        self.shape = shape
        self.piece_bytes = min(max(round(shape.rate_bytes_s * _PIECE_S), SEGMENT_BYTES), _LARGEST_PIECE_BYTES)
        self._random = random
        self._clock = clock
        self._free_s = -math.inf
        self._lock = threading.Lock()

    @property
    def flight_bytes(self) -> int:
        """What one connection may have under way: the bandwidth-delay product, and two pieces so that none is late."""
        return round(self.shape.rate_bytes_s * self.shape.delay_s) + 2 * self.piece_bytes

    def carry(self, count: int) -> float:
        """Put so many bytes behind what is on the line; return when the last of them is at the far end."""
        with self._lock:
            self._free_s = max(self._free_s, self._clock()) + count / self.shape.rate_bytes_s
            return self._free_s + self.shape.delay_s

    def carry_again(self, count: int) -> float | None:
        """Whether a segment of so many bytes was lost: None, or when it is at the far end after all.

        As TCP's fast retransmit: the sender hears of it a round trip later and sends it once more.
        """
        lost = 1 - (1 - self.shape.loss) ** math.ceil(count / SEGMENT_BYTES)
        if self._random.random() >= lost:
            return None
        return self.carry(min(count, SEGMENT_BYTES)) + 2 * self.shape.delay_s
