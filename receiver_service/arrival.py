"""Times the arrival of one cache: how long for its header, for its frames, and what placing them took of that."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from kvwire.stream import CacheHeader, CacheTrailer
from receiver_service.choosing.pace import Stream


class Arrival:
    """Begins when the cache is asked for."""

    def __init__(self) -> None:
        self._asked_s = self._began_s = self._ended_s = time.perf_counter()
        self._placing_s = 0.0

    def begins(self) -> None:
        """The header is there."""
        self._began_s = time.perf_counter()

    def ends(self) -> None:
        """The trailer is there, and all that came is placed."""
        self._ended_s = time.perf_counter()

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Around a piece of work that places what has come, while more may come."""
        begun_s = time.perf_counter()
        yield
        self._placing_s += time.perf_counter() - begun_s

    def of(self, header: CacheHeader, trailer: CacheTrailer, codec_base: str) -> Stream:
        """What came, once all has."""
        return Stream(
            tokens=header.source_tokens,
            layers=len(header.expected_layers),
            codec_base=codec_base,
            payload_bytes=trailer.payload_bytes,
            header_s=self._began_s - self._asked_s,
            frames_s=self._ended_s - self._began_s,
            placing_s=self._placing_s,
            stages=trailer.stages,
        )
