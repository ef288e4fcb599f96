"""The one way in and out: a layer's keys and values to a frame's bytes, and back."""

import torch
from torch import Tensor

from codec import frame, registry
from codec.calibration import Calibration
from codec.frame import Frame, Limits
from codec.layer import LayerKV
from codec.prune.base import gather
from codec.quantize.base import Context, Kind, Quantizer
from codec.rope import RopeTable, unrotate
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, DataLossError, InvalidRequestError, SpecError

_AXES = ("kv_heads", "tokens", "head_dim")


class Codec:
    """Encodes layers as one spec says.

    ``rope`` and ``calibration`` are the sender's model's; only a spec with ``rope=pre`` needs the first, only ``rd``
    the second.

    Raises:
        SpecError: The spec names a base, parameter, selector or option that this build does not offer.
        BindingError: The spec needs a calibration.
    """

    def __init__(self, spec: CodecSpec, rope: RopeTable | None = None, calibration: Calibration | None = None) -> None:
        self.spec = spec
        self.calibration = calibration
        self._quantizer = _offered(spec)
        if self._quantizer.needs_calibration and calibration is None:
            raise BindingError(f"codec {str(spec)!r} needs the model's tables; make them with: kvwire codec calibrate")
        self._selector = registry.selector(spec.keep.by) if spec.keep else None
        self._rope = rope

    def encode_layer(self, kv: LayerKV, positions: Tensor | None = None) -> bytes:
        """The frame of one layer, pruned and with keys before or after RoPE as the spec says.

        positions: ``(tokens,)``, integers: where the model placed the tokens; only to undo RoPE.
        The same input gives the same bytes.

        Raises:
            InvalidRequestError: Shapes do not fit, a number is NaN, infinite or beyond the codec's range, or RoPE
                parameters or positions are missing.
        """
        _check(kv)
        keys, values, slots = kv.keys, kv.values, None
        if self._selector and self.spec.keep:
            slots = self._selector.select(keys, values, self.spec.keep)
            keys, values = gather(keys, slots), gather(values, slots)
        if kv.rope is not self.spec.rope:
            keys = self._before_rope(kv, keys, positions, slots)
        heads, kept, head_dim = keys.shape
        index = _index(slots, kept)
        planes = (
            self._quantizer.encode(half, Context(kv.layer, kind, heads, kept, head_dim, index, self.calibration))
            for kind, half in ((Kind.KEY, keys), (Kind.VALUE, values))
        )
        spec = self.spec
        return frame.write(Frame(str(spec), kv.layer, heads, head_dim, kv.tokens, spec.rope, slots, *planes))

    def decode_layer(self, data: bytes | memoryview, limits: Limits) -> LayerKV:
        """:func:`decode_layer`, for a stream that announced this codec's spec."""
        return decode_layer(data, limits, expect=self.spec, calibration=self.calibration)

    def _before_rope(self, kv: LayerKV, keys: Tensor, positions: Tensor | None, slots: Tensor | None) -> Tensor:
        if self.spec.rope is RopePhase.POST:
            raise InvalidRequestError(
                f"layer {kv.layer}: keys are before RoPE; ask for {str(self.spec)!r} with rope=pre"
            )
        if self._rope is None or positions is None or kv.layer >= len(self._rope.layers):
            raise InvalidRequestError(f"layer {kv.layer}: rope=pre needs the layer's RoPE parameters and all positions")
        if tuple(positions.shape) != (kv.tokens,):
            raise InvalidRequestError(f"layer {kv.layer}: {tuple(positions.shape)} positions for {kv.tokens} tokens")
        return unrotate(
            keys, positions if slots is None else positions.to(slots.device)[slots], self._rope.layers[kv.layer]
        )


def decode_layer(
    data: bytes | memoryview,
    limits: Limits,
    *,
    expect: CodecSpec | None = None,
    calibration: Calibration | None = None,
) -> LayerKV:
    """Keys and values of a frame, float32, by what the frame itself says; ``expect`` is what its stream announced.

    calibration: the sender's model's tables, for frames of ``rd``.

    Raises:
        DataLossError: The bytes are not an undamaged frame within the limits, or not of the announced spec.
        BindingError: The frame is of a version or a codec that this build does not read.
    """
    read = frame.read(data, limits)
    quantizer = _quantizer_of(read, expect)
    index = _index(read.slots, read.kept)
    keys, values = (
        quantizer.decode(planes, Context(read.layer, kind, read.kv_heads, read.kept, read.head_dim, index, calibration))
        for kind, planes in ((Kind.KEY, read.keys), (Kind.VALUE, read.values))
    )
    return LayerKV(read.layer, keys, values, read.rope, read.tokens, read.slots)


def _offered(spec: CodecSpec) -> Quantizer:
    if spec.base.name == "rd" and spec.rope is RopePhase.POST:
        raise SpecError(f"codec spec {str(spec)!r}: tables of rd are for keys before RoPE; leave rope=post out")
    if unoffered := [name for name, given in _not_yet(spec) if given]:
        raise SpecError(f"codec spec {str(spec)!r}: this build does not offer {', '.join(unoffered)} yet; leave it out")
    return registry.resolve(spec.base.name, dict(spec.base.params))


def _not_yet(spec: CodecSpec) -> list[tuple[str, bool]]:
    return [("entropy=", spec.entropy != "none"), ("mix=", bool(spec.mix))]


def _quantizer_of(read: Frame, expect: CodecSpec | None) -> Quantizer:
    if expect is not None and read.spec != str(expect):
        raise DataLossError(f"layer {read.layer}: codec {read.spec!r}, but the stream announced {str(expect)!r}")
    try:
        spec = CodecSpec.parse(read.spec)
    except SpecError as error:
        raise DataLossError(f"layer {read.layer}: {error}") from None
    scope = spec.keep.scope if spec.keep else None
    if str(spec) != read.spec or spec.rope is not read.rope or scope != read.scope:
        raise DataLossError(f"layer {read.layer}: spec {read.spec!r} is not canonical or contradicts its frame")
    try:
        return _offered(spec)
    except SpecError as error:
        raise BindingError(f"layer {read.layer}: {error}") from None


def _index(slots: Tensor | None, kept: int) -> Tensor:
    return torch.arange(kept) if slots is None else slots


def _check(kv: LayerKV) -> None:
    keys, values = tuple(kv.keys.shape), tuple(kv.values.shape)
    if len(keys) != len(_AXES) or keys != values or 0 in keys or keys[1] != kv.tokens or kv.slots is not None:
        raise InvalidRequestError(
            f"layer {kv.layer}: keys {keys} and values {values} of {kv.tokens} tokens; two tensors of one shape "
            f"({', '.join(_AXES)}), none of it 0, not pruned yet, can be encoded"
        )
