"""What was made of contexts read before: caches, so that another codec costs no second prefill, and frames as sent."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from kvwire.byte_budget import ByteBudget
from kvwire.stream import Frame
from sharer_service.host_copy import Layer


@dataclass(frozen=True)
class ContextKey:
    """Which cache: of whose tokens. Callers never share, or one could time what another has asked.

    ``question``: what was read behind the context, to observe its attention; empty for the context's own.
    """

    caller: str
    head: tuple[int, ...]
    context: tuple[int, ...]
    question: tuple[int, ...] = ()


@dataclass(frozen=True)
class FramesKey:
    """Which frames: of whose context, as which codec with which tables wrote them, of which layers."""

    context: ContextKey
    codec: str
    tables: bytes
    layers: frozenset[int]


class KeptCaches:
    """All layers of each context, and the frames of those that were asked for again, within one budget."""

    def __init__(self, max_bytes: int) -> None:
        self._kept = ByteBudget[ContextKey | FramesKey, _Layers | _Frames](max_bytes, lambda value: value.nbytes)

    def get(self, key: ContextKey) -> tuple[Layer, ...] | None:
        """A context's layers."""
        found = self._kept.get(key)
        return found.layers if isinstance(found, _Layers) else None

    def put(self, key: ContextKey, layers: Sequence[Layer]) -> None:
        """Keep a context's layers, in memory of their own: computed ones are parts of what a whole pass computed."""
        computed = _Layers(tuple(layers))
        if self._kept.fits(computed):
            self._kept.put(key, computed.apart())

    def frames(self, key: FramesKey | None) -> tuple[Frame, ...] | None:
        """Frames that were sent before."""
        found = None if key is None else self._kept.get(key)
        return found.frames if isinstance(found, _Frames) else None

    def put_frames(self, key: FramesKey | None, frames: Sequence[Frame]) -> None:
        """Keep frames as they were sent; without a key they are not to be kept."""
        if key is not None:
            self._kept.put(key, _Frames(tuple(frames)))


@dataclass(frozen=True)
class _Layers:
    layers: tuple[Layer, ...]

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for _, *tensors in self.layers for each in tensors if each is not None)

    def apart(self) -> "_Layers":
        """The same, of which nothing keeps the memory of anything else."""
        return _Layers(
            tuple(
                (index, _apart(keys), _apart(values), None if attention is None else _apart(attention))
                for index, keys, values, attention in self.layers
            )
        )


@dataclass(frozen=True)
class _Frames:
    frames: tuple[Frame, ...]

    @property
    def nbytes(self) -> int:
        return sum(len(frame.data) for frame in self.frames)


def _apart(tensor: Tensor) -> Tensor:
    return tensor.clone() if tensor.untyped_storage().nbytes() > tensor.nbytes else tensor
