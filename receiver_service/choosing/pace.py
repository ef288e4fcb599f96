"""What a sharer, the way to it, and making a cache of what comes take, as they did lately."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from kvwire.known import Known, known_of
from kvwire.report import StageTiming
from kvwire.requests import Input
from receiver_service.choosing.contexts import Contexts
from receiver_service.choosing.curve import LATEST, Curve

#: A stream that took so many times what the sharer worked on it, and was waited for most of the time, shows its link.
_CLEARLY = 1.25

#: What a queue was seen to take is half forgotten after so many seconds.
_QUEUE_HALF_S = 5.0


@dataclass(frozen=True)
class Stream:
    """One cache that came: how long its header was waited for, then its frames, and what placing these took of that."""

    tokens: int
    layers: int
    codec_base: str
    payload_bytes: int
    header_s: float
    frames_s: float
    placing_s: float
    stages: tuple[StageTiming, ...]

    @property
    def found(self) -> Known:
        """What was there of the context already."""
        return known_of(self.payload_bytes, self.stages)

    def sharer_s(self, stage: str) -> float:
        """A stage of the sharer; 0 if it did not run."""
        return sum(each.seconds for each in self.stages if each.name == stage)


class Pace:
    """Learns from every stream of one sharer; on the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ways_s = deque[float](maxlen=LATEST)
        self._rates_bytes_s = deque[float](maxlen=LATEST)
        self._queues_s = deque[float](maxlen=LATEST)
        self._queue_seen = 0.0
        self.contexts = Contexts()
        self.prefill = Curve()
        self._encode: dict[str, Curve] = {}
        self._place: dict[str, Curve] = {}
        self._arrival: dict[tuple[str, Known], Curve] = {}

    def learn(self, caller: str, context: Input, codec: str, stream: Stream) -> None:
        """Take in one stream, and on whose behalf what was asked as which codec."""
        self.contexts.learn(caller, context, codec, stream.found)
        self.arrival(codec, stream.found).learn(stream.tokens, stream.header_s + stream.frames_s)
        queue_s, prefill_s, encode_s = (stream.sharer_s(stage) for stage in ("queue", "prefill", "encode"))
        self._ways_s.append(max(0.0, stream.header_s - queue_s))
        self._queues_s.append(queue_s)
        self._queue_seen = self._clock()
        if prefill_s:
            self.prefill.learn(stream.tokens, prefill_s)
        if encode_s:
            self.encode(stream.codec_base).learn(stream.tokens, encode_s)
        if stream.payload_bytes:
            self.place(stream.codec_base).learn(stream.tokens, stream.placing_s)
            self._learn_rate(stream, prefill_s + encode_s)

    def encode(self, base: str) -> Curve:
        """Of the sharer, by the context's tokens."""
        return self._encode.setdefault(base, Curve())

    def place(self, base: str) -> Curve:
        """Decoding frames, projecting and placing them here."""
        return self._place.setdefault(base, Curve())

    def arrival(self, codec: str, found: Known) -> Curve:
        """From asking until the last layer is placed, by what was there of the context."""
        return self._arrival.setdefault((codec, found), Curve())

    def header_s(self) -> float:
        """From asking until the header comes: there and back, and the sharer's queue as far as it will have lasted."""
        if not self._queues_s:
            return 0.0
        least_s, last_s = min(self._queues_s), self._queues_s[-1]
        lasting = math.exp2((self._queue_seen - self._clock()) / _QUEUE_HALF_S)
        return median(self._ways_s) + least_s + (last_s - least_s) * lasting

    def wire_s(self, payload_bytes: float) -> float:
        """So many bytes over the link; 0 while no stream was held up by it."""
        return payload_bytes / median(self._rates_bytes_s) if self._rates_bytes_s else 0.0

    def _learn_rate(self, stream: Stream, made_s: float) -> None:
        """From a stream that the link held up; any other can only prove that it is faster than was thought."""
        if stream.frames_s <= 0:
            return
        waited_s = stream.frames_s - stream.placing_s
        if stream.frames_s > _CLEARLY * made_s and 2 * waited_s > stream.frames_s:
            first_layer_s = made_s / stream.layers
            self._rates_bytes_s.append(stream.payload_bytes / (stream.frames_s - first_layer_s))
        elif self._rates_bytes_s and stream.payload_bytes / stream.frames_s > _CLEARLY * median(self._rates_bytes_s):
            self._rates_bytes_s.clear()
