"""A sharer: reads contexts, those that wait in one pass, and sends each layer as soon as it is computed."""

from collections import deque
from dataclasses import dataclass

from simpy import Environment

from simulation.compute import Compute
from simulation.host import Process
from simulation.memory import Kept, Room, cache_bytes, share_bytes
from simulation.requests import Request
from simulation.stream import Stream
from simulation.times import ServiceTimes

#: Tokens of one pass; as ``sharer_service.prefill`` has it.
TOKENS_TOGETHER = 512
#: What a header and a trailer take on the wire: some hundred bytes, next to nothing beside a cache.
ENDS_BYTES = 300
_LAYERS, _FRAMES = "layers", "frames"


@dataclass(eq=False)
class _Job:
    request: Request
    stream: Stream
    done: bool = False


class Sharer:
    """One sharer. ``passes`` and ``contexts`` count what it has read, and in how many passes."""

    def __init__(self, env: Environment, times: ServiceTimes, compute: Compute, room: Room, kept: Kept) -> None:
        self._env = env
        self._times = times
        self._room = room
        self._kept = kept
        self._waiting: deque[_Job] = deque()
        self.compute = compute
        self.in_flight = 0
        self.passes = 0
        self.contexts = 0

    def share(self, request: Request, stream: Stream, *, held: bool) -> Process:
        """Answer a receiver, which may hold the cache already: then only a header and a trailer are sent."""
        self.in_flight += 1
        yield self.compute.take(self._times.sharer.plan_s)
        if held:
            yield stream.emit(ENDS_BYTES)
        elif self._kept.has(_FRAMES, request.context):
            yield stream.emit(ENDS_BYTES)
            for _ in range(self._times.shape.layers):
                yield stream.emit(self._frame_bytes(request))
        else:
            nbytes = share_bytes(self._times.shape, request.context_tokens)
            yield from self._room.hold(nbytes, lambda: self._read(request, stream))
        yield stream.emit(ENDS_BYTES)
        self.in_flight -= 1

    def _read(self, request: Request, stream: Stream) -> Process:
        yield stream.emit(ENDS_BYTES)
        yield self._env.timeout(self._times.sharer.open_s)
        job = _Job(request, stream)
        self._waiting.append(job)
        yield self.compute.run(lambda: self._run(job))

    def _run(self, job: _Job) -> Process:
        """Unless another's pass has taken it along, read a context and those that wait and fit beside it."""
        if job.done:
            return
        batch = self._batch(job)
        kept = self._kept.has(_LAYERS, job.request.context)
        layer_s = 0.0 if kept else self._pass_s(batch) / self._times.shape.layers
        for _ in range(self._times.shape.layers):
            if layer_s:
                yield from self.compute.spend(layer_s)
            for each in batch:
                yield from self.compute.spend(self._times.sharer.encode_layer.at(each.request.context_tokens))
                yield each.stream.emit(self._frame_bytes(each.request))
        for each in batch:
            each.done = True
            self._keep(each.request, again=kept)
        self.passes += not kept
        self.contexts += 0 if kept else len(batch)

    def _batch(self, job: _Job) -> list[_Job]:
        others = [each for each in self._waiting if each is not job and not each.done]
        self._waiting.clear()
        batch, tokens = [job], job.request.context_tokens
        for other in others:
            alone = any(self._kept.has(_LAYERS, each.request.context) for each in (job, other))
            if alone or tokens + other.request.context_tokens > TOKENS_TOGETHER:
                self._waiting.append(other)
            else:
                batch.append(other)
                tokens += other.request.context_tokens
        return batch

    def _pass_s(self, batch: list[_Job]) -> float:
        return self._times.sharer.prefill.together(each.request.context_tokens for each in batch)

    def _keep(self, request: Request, *, again: bool) -> None:
        """Layers once a context was read, frames once it was asked for again."""
        if again:
            self._kept.put(_FRAMES, request.context, self._frame_bytes(request) * self._times.shape.layers)
        else:
            self._kept.put(_LAYERS, request.context, cache_bytes(self._times.shape, request.context_tokens))

    def _frame_bytes(self, request: Request) -> int:
        return self._times.sizes.frame(request.context_tokens, self._times.shape.layers)
