"""The one way in and out: a layer's keys and values to a frame's bytes, and back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from codec import frame, registry
from codec.bases import Base
from codec.calibration import Calibration
from codec.entries import MAX_GROUPS
from codec.frame import Frame, Limits
from codec.groups import HeadGroup, head_groups, join
from codec.halves import both, side_by_side
from codec.layer import AXES, LayerKV
from codec.planes import Planes
from codec.prune.base import gather
from codec.quantize.base import Context, Kind, Quantizer
from codec.rope import RopeTable, unrotate
from codec.spec import CodecSpec, Payload, RopePhase
from kvwire.errors import BindingError, DataLossError, InvalidRequestError, SpecError

T = TypeVar("T")


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
        self._quantizers = _offered(spec)
        if calibration is None and any(quantizer.needs_calibration for quantizer in self._quantizers.values()):
            raise BindingError(f"codec {str(spec)!r} needs the model's tables; make them with: kvwire codec calibrate")
        self._selector = registry.selector(spec.keep.by) if spec.keep else None
        if self.needs_attention and spec.of is Payload.LATENTS:
            raise SpecError(f"codec spec {str(spec)!r}: latents draw no attention; take by=recency or by=key_norm")
        self._rope = rope

    @property
    def needs_attention(self) -> bool:
        """Whether layers must bring the attention that their tokens drew; to observe it costs a prefill some time."""
        return self._selector is not None and self._selector.observes

    @property
    def needs_question(self) -> bool:
        """Whether that attention is to be the receiver's question's."""
        return self._selector is not None and self._selector.asks

    def encode_layer(self, kv: LayerKV, positions: Tensor | None = None) -> bytes:
        """The frame of one layer, pruned and with keys before or after RoPE as the spec says.

        positions: ``(tokens,)``, integers: where the model placed the tokens; only to undo RoPE.
        The same input gives the same bytes.

        Raises:
            InvalidRequestError: Shapes do not fit, a number is NaN, infinite or beyond the codec's range, or RoPE
                parameters, positions or observed attention are missing.
        """
        _check(kv)
        keys, values, slots = kv.keys, kv.values, None
        if self._selector and self.spec.keep:
            slots = self._selector.select(keys, values, self.spec.keep, kv.attention)
            keys, values = gather(keys, slots), gather(values, slots)
        if kv.rope is not self.spec.rope:
            keys = self._before_rope(kv, keys, positions, slots)
        heads, kept, head_dim = keys.shape
        index = _index(slots, kept)
        halves = [
            partial(self._encode, half, Context(kv.layer, kind, heads, kept, head_dim, index, self.calibration))
            for kind, half in ((Kind.KEY, keys), (Kind.VALUE, values))
        ]
        coded_keys, coded_values = _both(halves, self._quantizers, keys.numel())
        return frame.write(
            Frame(
                spec=str(self.spec),
                layer=kv.layer,
                kv_heads=heads,
                head_dim=head_dim,
                tokens=kv.tokens,
                rope=self.spec.rope,
                slots=slots,
                keys=coded_keys,
                values=coded_values,
                entropy=self.spec.entropy,
            )
        )

    def decode_layer(self, data: bytes | memoryview, limits: Limits) -> LayerKV:
        """:func:`decode_layer`, for a stream that announced this codec's spec."""
        return decode_layer(data, limits, expect=self.spec, calibration=self.calibration)

    def _encode(self, half: Tensor, ctx: Context) -> Planes:
        groups = head_groups(self.spec, ctx.layer, ctx.kind, ctx.kv_heads)
        if len(groups) > MAX_GROUPS:
            raise InvalidRequestError(f"{ctx}: mix= makes {len(groups)} groups of heads; {MAX_GROUPS} at most")
        return tuple(
            replace(plane, group=at)
            for at, group in enumerate(groups)
            for plane in self._quantizers[group.base].encode(group.take(half), _narrowed(ctx, group))
        )

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
    spec, quantizers = _codec_of(read, expect)
    index = _index(read.slots, read.kept)
    halves = [
        partial(
            _decode,
            planes,
            Context(read.layer, kind, read.kv_heads, read.kept, read.head_dim, index, calibration),
            spec,
            quantizers,
        )
        for kind, planes in ((Kind.KEY, read.keys), (Kind.VALUE, read.values))
    ]
    keys, values = _both(halves, quantizers, read.kv_heads * read.kept * read.head_dim)
    return LayerKV(read.layer, keys, values, read.rope, read.tokens, read.slots)


def _both(halves: Sequence[Callable[[], T]], quantizers: Mapping[Base, Quantizer], numbers: int) -> Sequence[T]:
    """Both halves' results; on two threads if no quantizer has threads of its own."""
    if side_by_side(numbers) and all(quantizer.on_one_thread for quantizer in quantizers.values()):
        return both(*halves)
    return [half() for half in halves]


def _decode(planes: Planes, ctx: Context, spec: CodecSpec, quantizers: Mapping[Base, Quantizer]) -> Tensor:
    groups = head_groups(spec, ctx.layer, ctx.kind, ctx.kv_heads)
    if any(plane.group >= len(groups) for plane in planes):
        raise DataLossError(
            f"{ctx}: planes of {planes[-1].group + 1} groups of heads, {str(spec)!r} makes {len(groups)}"
        )
    parts = [
        quantizers[group.base].decode(tuple(plane for plane in planes if plane.group == at), _narrowed(ctx, group))
        for at, group in enumerate(groups)
    ]
    return join(parts, groups)


@lru_cache(maxsize=64)  # all layers of a message have one spec, and taking it apart costs as much as a small layer
def _parsed(text: str) -> CodecSpec:
    return CodecSpec.parse(text)


def _narrowed(ctx: Context, group: HeadGroup) -> Context:
    """What a quantizer may know of a group's heads alone."""
    positions = group.take(ctx.positions) if ctx.positions.ndim > 1 else ctx.positions
    return replace(ctx, kv_heads=len(group.heads), positions=positions)


@lru_cache(maxsize=64)
def _offered(spec: CodecSpec) -> Mapping[Base, Quantizer]:
    """A quantizer for each base that the spec names."""
    if spec.entropy == "ans":
        raise SpecError(f"codec spec {str(spec)!r}: this build does not offer entropy=ans; use entropy=zstd or none")
    bases = (spec.base, *(part.base for part in spec.mix))
    quantizers = {base: base.quantizer() for base in bases}
    if any(quantizer.needs_calibration for quantizer in quantizers.values()):
        _check_calibrated(spec)
    return quantizers


def _check_calibrated(spec: CodecSpec) -> None:
    if spec.rope is RopePhase.POST:
        raise SpecError(f"codec spec {str(spec)!r}: calibrated tables are for keys before RoPE; take rope=pre")
    if any(part.heads is not None for part in spec.mix):
        raise SpecError(f"codec spec {str(spec)!r}: calibrated tables are of all heads of a layer; leave H out of mix=")


def _codec_of(read: Frame, expect: CodecSpec | None) -> tuple[CodecSpec, Mapping[Base, Quantizer]]:
    if expect is not None and read.spec != str(expect):
        raise DataLossError(f"layer {read.layer}: codec {read.spec!r}, but the stream announced {str(expect)!r}")
    try:
        spec = _parsed(read.spec)
    except SpecError as error:
        raise DataLossError(f"layer {read.layer}: {error}") from None
    scope = spec.keep.scope if spec.keep else None
    if (
        str(spec) != read.spec
        or (spec.rope, scope) != (read.rope, read.scope)
        or read.entropy not in {"none", spec.entropy}
    ):
        raise DataLossError(f"layer {read.layer}: spec {read.spec!r} is not canonical or contradicts its frame")
    try:
        return spec, _offered(spec)
    except SpecError as error:
        raise BindingError(f"layer {read.layer}: {error}") from None


def _index(slots: Tensor | None, kept: int) -> Tensor:
    return torch.arange(kept) if slots is None else slots


def _check(kv: LayerKV) -> None:
    keys, values = tuple(kv.keys.shape), tuple(kv.values.shape)
    if len(keys) != len(AXES) or keys != values or 0 in keys or keys[1] != kv.tokens or kv.slots is not None:
        raise InvalidRequestError(
            f"layer {kv.layer}: keys {keys} and values {values} of {kv.tokens} tokens; two tensors of one shape "
            f"({', '.join(AXES)}), none of it 0, not pruned yet, can be encoded"
        )
