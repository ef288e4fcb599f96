"""One context's layers on their way out: copied to the host, encoded, emitted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.engine.backlog import Waiting
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from kvwire.stream import Frame
from sharer_service.host_copy import Layer, host_copy
from sharer_service.kept import ContextKey, FramesKey

#: Is shown one context's layers in order; gives those that can be sent.
Sender = Callable[[LayerKV], Iterable[LayerKV]]


def as_they_are() -> Sender:
    """Sends each layer itself."""
    return lambda kv: (kv,)


@dataclass(frozen=True)
class Reading:
    """What to read and which layers of it to send. The key's head and question are read too but stay here.

    ``sender`` makes, for each time it is sent, what gives the layers themselves, or latents.
    """

    key: ContextKey
    layers: frozenset[int]
    sender: Callable[[], Sender] = as_they_are

    @property
    def tokens(self) -> tuple[int, ...]:
        """All that is read."""
        return self.key.head + self.key.context + self.key.question


@dataclass(eq=False)
class Job:
    """A context to be read and sent, and how it ended; ``emit`` may block until the reader has caught up.

    ``waiting``: its tokens, until they are read.
    """

    codec: Codec
    reading: Reading
    task: Task
    watch: Stopwatch
    emit: Callable[[Frame], None]
    waiting: Waiting
    done: bool = False
    error: BaseException | None = None


def frames_key(codec: Codec, reading: Reading) -> FramesKey | None:
    """By what the frames of a reading may be kept; None of latents, which a fuser makes."""
    if reading.sender is not as_they_are:
        return None
    tables = codec.calibration.digest if codec.calibration else b""
    return FramesKey(reading.key, str(codec.spec), tables, reading.layers)


class Outgoing:
    """Takes a job's layers as they are computed. Runs on the compute thread; raises what ``task.check`` raises."""

    def __init__(self, job: Job, device: torch.device) -> None:
        key = job.reading.key
        self.job = job
        self.layers: list[Layer] = []
        self._sent = job.reading.sender()
        self._copier = host_copy(device)
        self._own = slice(len(key.head), len(key.head) + len(key.context))
        self._positions = torch.arange(len(key.context)) + len(key.head)
        self._unobserved: list[tuple[Tensor, Tensor]] = []

    def computed(self, index: int, keys: Tensor, values: Tensor) -> None:
        """A layer of all that is read, ``(kv_heads, tokens, head_dim)``; a codec that ranks waits for attention."""
        self.job.task.check()
        keys, values = keys[:, self._own], values[:, self._own]
        if self.job.codec.needs_attention:
            self._unobserved.append((keys, values))
        else:
            self._reached(self._copier.push((index, keys, values, None)))

    def observed(self, index: int, attention: Tensor) -> None:
        """What the layer's tokens drew, ``(kv_heads, tokens)``."""
        self._reached(self._copier.push((index, *self._unobserved.pop(), attention[:, self._own])))

    def finish(self) -> None:
        """Wait for what is still on its way to the host."""
        self._reached(self._copier.flush())

    def encode(self, layer: Layer) -> list[Frame]:
        """Encode a layer on the host and emit its frames; none if it is not to be sent."""
        index, keys, values, attention = layer
        job = self.job
        if index not in job.reading.layers:
            return []
        with job.watch.stage("encode", index):
            kv = LayerKV(index, keys, values, RopePhase.POST, tokens=keys.shape[1], attention=attention)
            frames = [Frame(each.layer, job.codec.encode_layer(each, self._positions)) for each in self._sent(kv)]
        with job.watch.stage("backpressure"):
            for frame in frames:
                job.emit(frame)
        return frames

    def _reached(self, ready: list[Layer]) -> None:
        for layer in ready:
            self.layers.append(layer)
            self.encode(layer)
