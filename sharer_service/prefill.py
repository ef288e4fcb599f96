"""Prefills contexts and encodes each layer as soon as it is computed; contexts that wait are read in one pass.

Sequences stand side by side in the pass, without padding, so their lengths need not be alike. They share its time:
whoever is slow to take a layer holds up those that are read beside its context, as it would hold up those behind it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from codec.codec import Codec
from kvwire.engine.attention import OBSERVED_QUERIES, AttentionObserver
from kvwire.engine.engine import Engine, Part
from kvwire.errors import KvwireError
from kvwire.stream import Frame
from sharer_service.host_copy import Layer
from sharer_service.kept import KeptCaches
from sharer_service.outgoing import Job, Outgoing, Reading, frames_key

#: Tokens of one pass; beyond some hundreds the weights' share of a pass is small, and the first layers wait for all.
_TOKENS_TOGETHER = 512


def share_bytes(engine: Engine, tokens: int) -> int:
    """Memory that one context may take: its cache, and half as much for a layer at work and frames that wait."""
    return engine.cache_bytes(tokens) * 3 // 2


class Prefiller:
    """Computes or finds the layers of contexts, and encodes them one by one."""

    def __init__(self, engine: Engine, kept: KeptCaches) -> None:
        self._engine = engine
        self._kept = kept
        self._waiting: deque[Job] = deque()

    def frames(self, codec: Codec, reading: Reading) -> Sequence[Frame] | None:
        """The frames of a reading, if they are kept as they were sent; on the compute thread."""
        return self._kept.frames(frames_key(codec, reading))

    def unread(self, codec: Codec, reading: Reading) -> int:
        """Tokens that have to be read for it: none if its layers are kept; on the compute thread."""
        return len(reading.tokens) if self._held(codec, reading) is None else 0

    def enqueue(self, job: Job) -> None:
        """Announce a job: whoever runs first takes it along if it fits. From any thread."""
        self._waiting.append(job)

    def run(self, job: Job) -> None:
        """See that a job is done: emit what is to be sent, a frame per layer in order, while later layers compute.

        Runs on the compute thread. Raises what ``task.check`` raises, within one layer.
        """
        if not job.done:
            batch = self._batch(job)
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001  # each raises it, or its own, when its turn comes
                for each in batch:
                    each.error = each.error or error
            for each in batch:
                each.done = True
        if job.error is not None:
            raise job.error

    def _batch(self, job: Job) -> list[Job]:
        """The job, and those that wait and can be read beside it."""
        waiting = [self._waiting.popleft() for _ in range(len(self._waiting))]
        others = [each for each in waiting if each is not job and _awaited(each)]
        batch, tokens = [job], len(job.reading.tokens)
        for other in others:
            more = tokens + len(other.reading.tokens)
            if self._alone(job) or self._alone(other) or more > _TOKENS_TOGETHER:
                self._waiting.append(other)
            else:
                batch.append(other)
                tokens = more
        return batch

    def _alone(self, job: Job) -> bool:
        """Whether a job is not to be computed beside others: it is held already, or its attention is observed."""
        return job.codec.needs_attention or self._held(job.codec, job.reading) is not None

    def _held(self, codec: Codec, reading: Reading) -> tuple[Layer, ...] | None:
        """The layers of a reading, if they are kept with all that its codec needs."""
        held = self._kept.get(reading.key)
        return None if held is None or (codec.needs_attention and held[0][3] is None) else held

    def _send(self, batch: list[Job]) -> None:
        outs = [Outgoing(job, self._engine.device) for job in batch]
        if len(outs) > 1:
            self._compute_together(outs)
            return
        [out] = outs
        job = out.job
        held = self._held(job.codec, job.reading)
        if held is None:
            self._compute(out)
            return
        job.watch.add("prefill", 0.0)
        frames: list[Frame] = []
        for layer in held:
            job.task.check()
            frames += out.encode(layer)
        self._kept.put_frames(frames_key(job.codec, job.reading), frames)

    def _compute(self, out: Outgoing) -> None:
        """Prefill one; a layer is done once its attention was observed too, if its codec needs that."""
        reading = out.job.reading
        observer = None
        if out.job.codec.needs_attention:
            observer = AttentionObserver(out.observed, len(reading.key.question) or OBSERVED_QUERIES)
        with _prefilling([out.job]), out.job.waiting.backlog.reading([out.job.waiting]):
            self._engine.read(reading.tokens, self._engine.new_cache(out.computed), 0, observer)
            out.finish()
        self._kept.put(reading.key, out.layers)

    def _compute_together(self, outs: list[Outgoing]) -> None:
        """Prefill several; one that fails keeps its error and does not keep the others from being read."""

        def guarded(out: Outgoing, act: Callable[..., None]) -> Callable[..., None]:
            def acted(*given: object) -> None:
                if out.job.error is not None:
                    return
                try:
                    act(*given)
                except Exception as error:  # whatever it is, it is this job's alone
                    out.job.error = error
                    if all(each.job.error is not None for each in outs):
                        raise

            return acted

        parts = [Part(self._engine.new_cache(guarded(out, out.computed)), out.job.reading.tokens, 0) for out in outs]
        waiting = [out.job.waiting for out in outs]
        with _prefilling([out.job for out in outs]):
            with waiting[0].backlog.reading(waiting):
                self._engine.read_together(parts)
            for out in outs:
                guarded(out, out.finish)()
        for out in outs:
            if out.job.error is None:
                self._kept.put(out.job.reading.key, out.layers)


def _awaited(job: Job) -> bool:
    """Whether a job is still to be done: one whose caller is gone never has its turn, and would wait for ever."""
    try:
        job.task.check()
    except KvwireError:
        return False
    return not job.done


@contextmanager
def _prefilling(jobs: Sequence[Job]) -> Iterator[None]:
    """Around the pass of jobs: what of it is not spent on frames is their prefill."""
    with ExitStack() as watched:
        for job in jobs:
            watched.enter_context(job.watch.rest("prefill", "encode", "backpressure"))
        yield
