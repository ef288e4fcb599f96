"""Decodes the frames of a cache that comes, and runs each target layer once its sources are there."""

from collections.abc import Callable

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import RopeTable
from fuser.base import Fuser
from fuser.layers import in_phase
from kvwire.errors import DataLossError
from kvwire.progress import Stopwatch
from kvwire.stream import CacheHeader

Sources = dict[int, LayerKV]


class SourceLayers:
    """Keeps decoded source layers until every target that needs them has run.

    ``arrived`` names those that came, ``payload_bytes`` are of their frames.
    """

    def __init__(self, fuser: Fuser, targets: int, ready: Callable[[int, Sources], None], ropes: RopeTable) -> None:
        self._ropes = ropes
        self._missing = {target: set(found) for target in range(targets) if (found := fuser.source_layers(target))}
        self._targets = len(self._missing)
        self.arrived: set[int] = set()
        self.payload_bytes = 0
        self._fuser = fuser
        self._ready = ready
        self._sources: Sources = {}

    @property
    def share(self) -> float:
        """How much of what was to be made has been: of the target layers, those whose sources came."""
        return 1 - len(self._missing) / self._targets if self._targets else 1.0

    def decoding(
        self, codec: Codec, whole: tuple[int, bytes], header: CacheHeader, limits: Limits, watch: Stopwatch
    ) -> Callable[[], None]:
        """The work of decoding one frame and running the targets it completes."""

        def decode() -> None:
            layer, frame = whole
            with watch.stage("decode_frames", layer):
                kv = codec.decode_layer(frame, limits)
            found = (kv.layer, kv.keys.shape[0], kv.tokens, kv.keys.shape[2])
            announced = (layer, header.kv_heads, header.source_tokens, header.head_dim)
            if found != announced:
                raise DataLossError(
                    f"layer, heads, tokens and head_dim of a frame are {found}, announced were {announced}; retry"
                )
            self._sources[layer] = in_phase(kv, self._fuser.rope, header.first_position, self._ropes)
            self.arrived.add(layer)
            self.payload_bytes += len(frame)
            with watch.stage("place", layer):
                self._run_completed(layer)

        return decode

    def _run_completed(self, layer: int) -> None:
        for target, missing in list(self._missing.items()):
            missing.discard(layer)
            if not missing:
                self._ready(target, {s: self._sources[s] for s in self._fuser.source_layers(target)})
                del self._missing[target]
        needed = {s for target in self._missing for s in self._fuser.source_layers(target)}
        for done in self._sources.keys() - needed:
            del self._sources[done]
