"""Prefills a context and encodes each layer as soon as it is computed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.codec import Codec
from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.engine.attention import OBSERVED_QUERIES, AttentionObserver
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from sharer_service.host_copy import Layer, host_copy
from sharer_service.kept import ContextKey, KeptCaches


@dataclass(frozen=True)
class Frame:
    """One encoded layer."""

    layer: int
    data: bytes


def as_it_is(kv: LayerKV) -> Iterable[LayerKV]:
    """The layer itself."""
    return (kv,)


@dataclass(frozen=True)
class Reading:
    """What to read and which layers of it to send. The key's head and question are read too but stay here.

    ``sent`` gives what is sent once it has been shown a layer: that layer, or latents.
    """

    key: ContextKey
    layers: frozenset[int]
    sent: Callable[[LayerKV], Iterable[LayerKV]] = as_it_is


class Prefiller:
    """Computes or finds the layers of a context, and encodes them one by one. Runs on the compute thread."""

    def __init__(self, engine: Engine, kept: KeptCaches) -> None:
        self._engine = engine
        self._kept = kept

    def run(self, codec: Codec, reading: Reading, task: Task, watch: Stopwatch, emit: Callable[[Frame], None]) -> None:
        """Emit what is to be sent, a frame per layer in order, while later layers compute.

        Raises what ``task.check`` raises, within one layer.
        """
        positions = torch.arange(len(reading.key.context)) + len(reading.key.head)

        def encode(layer: Layer) -> None:
            index, keys, values, attention = layer
            if index not in reading.layers:
                return
            with watch.stage("encode", index):
                kv = LayerKV(index, keys, values, RopePhase.POST, tokens=keys.shape[1], attention=attention)
                frames = [Frame(each.layer, codec.encode_layer(each, positions)) for each in reading.sent(kv)]
            with watch.stage("backpressure"):
                for frame in frames:
                    emit(frame)

        with watch.rest("prefill", "encode", "backpressure"):
            held = self._kept.get(reading.key)
            if held is None or (codec.needs_attention and held[0][3] is None):
                layers = self._compute(reading.key, task, encode, observe=codec.needs_attention)
                self._kept.put(reading.key, layers)
                return
            for layer in held:
                task.check()
                encode(layer)

    def _compute(self, key: ContextKey, task: Task, done: Callable[[Layer], None], *, observe: bool) -> list[Layer]:
        """Prefill; call ``done`` with each layer of the context as it reaches the host, and return them all.

        With ``observe`` a layer is done once its attention was observed too.
        """
        copier = host_copy(self._engine.device)
        sent = slice(len(key.head), len(key.head) + len(key.context))
        layers: list[Layer] = []

        def reached(ready: list[Layer]) -> None:
            for layer in ready:
                layers.append(layer)
                done(layer)

        waiting: list[tuple[Tensor, Tensor]] = []

        def computed(index: int, keys: Tensor, values: Tensor) -> None:
            task.check()
            keys, values = keys[:, sent], values[:, sent]
            if observe:
                waiting.append((keys, values))
            else:
                reached(copier.push((index, keys, values, None)))

        def observed(index: int, attention: Tensor) -> None:
            reached(copier.push((index, *waiting.pop(), attention[:, sent])))

        cache = self._engine.new_cache(computed)
        observer = AttentionObserver(observed, len(key.question) or OBSERVED_QUERIES) if observe else None
        self._engine.read(key.head + key.context + key.question, cache, 0, observer)
        reached(copier.flush())
        return layers
