"""Prefills a context and encodes each layer as soon as it is computed."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from sharer_service.host_copy import host_copy


@dataclass(frozen=True)
class Frame:
    """One encoded layer."""

    layer: int
    data: bytes


@dataclass(frozen=True)
class Reading:
    """What to read and what of it to send: ``head`` is read first but stays here, ``layers`` are those wanted."""

    head: tuple[int, ...]
    context: tuple[int, ...]
    layers: frozenset[int]


def prefill(
    engine: Engine,
    codec: Codec,
    reading: Reading,
    task: Task,
    watch: Stopwatch,
    emit: Callable[[Frame], None],
) -> None:
    """Read head and context; emit a frame per wanted layer, in layer order, while later layers compute.

    Runs on the compute thread. Raises what ``task.check`` raises, within one layer.
    """
    copier = host_copy(engine.device)

    def encode(layer: int, keys: Tensor, values: Tensor) -> None:
        with watch.stage("encode"):
            kv = LayerKV(layer, keys, values, RopePhase.POST, tokens=keys.shape[1])
            frame = Frame(layer, codec.encode_layer(kv))
        with watch.stage("backpressure"):
            emit(frame)

    def computed(layer: int, keys: Tensor, values: Tensor) -> None:
        task.check()
        if layer in reading.layers:
            start = len(reading.head)
            for ready in copier.push((layer, keys[:, start:], values[:, start:])):
                encode(*ready)

    with watch.stage("prefill_and_encode"):
        engine.read(reading.head + reading.context, engine.new_cache(computed), 0)
        for ready in copier.flush():
            encode(*ready)
