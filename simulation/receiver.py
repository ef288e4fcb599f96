"""A receiver, method ``prefix``: asks a sharer, places each layer as it comes, reads the prompt, writes the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from simpy import Environment, Event

from simulation.compute import Compute
from simulation.decoder import Decoder
from simulation.host import Process
from simulation.memory import Kept, Room, answer_bytes, cache_bytes
from simulation.reader import Reader
from simulation.requests import Request
from simulation.sharer import Sharer
from simulation.stream import Stream
from simulation.times import ServiceTimes

_CACHE = "cache"


@dataclass(frozen=True)
class Call:
    """A sharer that was chosen for a request, the stream from it, and what is to be told when that has ended."""

    sharer: Sharer
    stream: Stream
    ended: Callable[[], None]


#: Chooses a sharer for a request.
Ask = Callable[[Request], Call]


@dataclass(frozen=True)
class Outcome:
    """What became of a request; times in seconds since it was due, None of one that was refused. ``nbytes`` came."""

    request: Request
    first_token_s: float | None = None
    total_s: float | None = None
    gaps_s: tuple[float, ...] = ()
    nbytes: int = 0


@dataclass
class _Placing:
    """How many layers have come and are there, and what has come on the wire."""

    come: int = 0
    layers: int = 0
    nbytes: int = 0


class Receiver:
    """One receiver that knows sharers only by how they are asked."""

    def __init__(
        self, env: Environment, times: ServiceTimes, compute: Compute, room: Room, kept: Kept, max_in_flight: int
    ) -> None:
        self._env = env
        self._times = times
        self._own = times.receiver
        self._room = room
        self._kept = kept
        self._max_in_flight = max_in_flight
        self._reader = Reader(env, compute, times.receiver.prompt)
        self.decoder = Decoder(env, compute, times.receiver)
        self.compute = compute
        self.in_flight = 0

    def answer(self, request: Request, ask: Ask) -> Process:
        """Answer one request, due now; returns its outcome."""
        due_s = self._env.now
        yield self._env.timeout(self._times.calls.client_s)
        slots = request.context_tokens + request.prompt_tokens + request.answer_tokens
        nbytes = answer_bytes(self._times.shape, request.context_tokens, slots)
        if self.in_flight >= self._max_in_flight or not self._room.fits(nbytes):
            return Outcome(request)
        self.in_flight += 1
        yield self.compute.take(self._own.tokenize_s)
        found: Outcome = yield from self._room.hold(nbytes, lambda: self._held(request, ask, due_s))
        self.in_flight -= 1
        return found

    def _held(self, request: Request, ask: Ask, due_s: float) -> Process:
        """With memory for it."""
        came = yield from self._prepare(request, ask)
        yield self.compute.take(self._own.first_token_s / 2)
        first_s = self._env.now
        token_s: list[float] = yield self.decoder.write(request.answer_tokens - 1)
        gaps_s = tuple(after - before for before, after in pairwise([first_s, *token_s]))
        return Outcome(request, first_s - due_s, self._env.now - due_s, gaps_s, came)

    def _prepare(self, request: Request, ask: Ask) -> Process:
        """Until the prompt is read, a lone one layer by layer as the cache comes; returns the bytes that came."""
        streams = self.in_flight <= 1
        held = self._kept.has(_CACHE, request.context)
        call = ask(request)
        stream, placing = call.stream, _Placing()
        yield self._env.timeout(self._times.calls.share_s)
        self._env.process(call.sharer.share(request, stream, held=held))
        placing.nbytes += yield from stream.read()
        reading = self.compute.run(lambda: self._streamed(request, placing)) if streams else None
        yield from (self._replay(request, placing) if held else self._receive(request, stream, placing))
        placing.nbytes += yield from stream.read()
        call.ended()
        self._kept.put(_CACHE, request.context, cache_bytes(self._times.shape, request.context_tokens))
        yield self._env.timeout(self._own.first_token_s / 2)
        yield reading or self._reader.read(request.prompt_tokens)
        return placing.nbytes

    def _receive(self, request: Request, stream: Stream, placing: _Placing) -> Process:
        """All layers that wait are one piece of work, and so are those that come after it."""
        layer_s = self._own.decode_layer.at(request.context_tokens) + self._own.place_layer.at(request.context_tokens)
        piece: Event | None = None

        def place() -> Process:
            while placing.layers < placing.come:
                yield from self.compute.spend(layer_s)
                placing.layers += 1

        for _ in range(self._times.shape.layers):
            placing.nbytes += yield from stream.read()
            yield self._env.timeout(self._times.calls.message_s)
            placing.come += 1
            if piece is None or piece.triggered:
                piece = self.compute.run(place)
        if piece is not None:
            yield piece

    def _replay(self, request: Request, placing: _Placing) -> Process:
        """A cache that is held is placed in one piece."""
        layers = self._times.shape.layers

        def place() -> Process:
            yield from self.compute.spend(layers * self._own.place_layer.at(request.context_tokens))
            placing.layers = layers

        yield self.compute.run(place)

    def _streamed(self, request: Request, placing: _Placing) -> Process:
        """A pass that waits before each layer until it is there, and does others' work meanwhile."""
        layers = self._times.shape.layers
        for layer in range(layers):
            yield from self.compute.work_until(lambda layer=layer: placing.layers > layer)  # type: ignore[misc]
            yield from self.compute.spend(self._own.prompt.at(request.prompt_tokens) / layers)
