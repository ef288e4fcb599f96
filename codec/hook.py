"""For other code bases: caches as they would have come over the wire, without a wire.

A project that passes keys and values from one place to another puts one line there to learn what a codec would change
and cost. Frames are made and read in full; every byte of them is counted.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from codec.calibration import Calibration
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import AXES, LayerKV
from codec.rope import RopeTable, rotate
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import InvalidRequestError, SpecError

_LAYER_AXES, _BATCH_AXES = len(AXES), len(AXES) + 1


class RoundTrip(NamedTuple):
    """One layer's decoded keys and values, and the bytes of the frames they came from."""

    keys: Tensor
    values: Tensor
    payload_bytes: int


class CacheRoundTrip(NamedTuple):
    """Every layer's decoded keys and values, first to last, and the bytes of all frames."""

    layers: tuple[tuple[Tensor, Tensor], ...]
    payload_bytes: int


def roundtrip(
    keys: Tensor,
    values: Tensor,
    spec: str | CodecSpec,
    *,
    layer: int = 0,
    rope: RopeTable | None = None,
    positions: Tensor | None = None,
    calibration: Calibration | None = None,
) -> RoundTrip:
    """Keys and values of one layer through a codec and back; the arguments are left as they were.

    - keys, values: ``(kv_heads, tokens, head_dim)`` or ``(batch, kv_heads, tokens, head_dim)``, any float dtype, keys
      after RoPE, as caches of transformers hold them. What returns has their shape, dtype and device. Each item of a
      batch is a frame of its own.
    - spec: ``"int8"``, ``"nf4:block=32"``, ``"rd:bits=2"``; ``keep=`` is refused: fewer tokens would come back.
    - layer: which of the model's layers this is; for ``rope`` and ``calibration``.
    - rope: the model's angles; specs with ``rope=pre``, ``rd`` among them, need them.
    - positions: ``(tokens,)``, integers, where the model placed the tokens; 0, 1, 2, ... if left out.
    - calibration: the model's tables (``Calibration.load``); ``rd`` needs them.

    Raises:
        SpecError: The spec does not parse, prunes, or is not offered.
        BindingError: ``rd`` without a calibration, or with one of other layers or heads.
        InvalidRequestError: Shapes do not fit, a number is NaN, infinite or beyond the codec's range, or ``rope`` is
            missing.
    """
    codec = _codec(spec, rope, calibration)
    return _layer(codec, keys, values, layer, rope, positions)


def roundtrip_cache(
    cache: Any,
    spec: str | CodecSpec,
    *,
    rope: RopeTable | None = None,
    positions: Tensor | None = None,
    calibration: Calibration | None = None,
) -> CacheRoundTrip:
    """:func:`roundtrip` for all layers of a cache; ``DynamicCache(result.layers)`` makes one of transformers again.

    cache: has ``layers`` with ``keys`` and ``values`` (transformers' ``DynamicCache``), or is a sequence of pairs.

    Raises:
        InvalidRequestError: It is neither, or a layer is empty; and as :func:`roundtrip`.
    """
    codec = _codec(spec, rope, calibration)
    done = [_layer(codec, *pair, layer, rope, positions) for layer, pair in enumerate(_pairs(cache))]
    return CacheRoundTrip(tuple((back.keys, back.values) for back in done), sum(back.payload_bytes for back in done))


def _codec(spec: str | CodecSpec, rope: RopeTable | None, calibration: Calibration | None) -> Codec:
    parsed = CodecSpec.parse(spec) if isinstance(spec, str) else spec
    if parsed.keep is not None:
        raise SpecError(f"codec spec {str(parsed)!r}: a round trip returns all tokens; leave keep= out")
    return Codec(parsed, rope, calibration)


def _layer(
    codec: Codec, keys: Tensor, values: Tensor, layer: int, rope: RopeTable | None, positions: Tensor | None
) -> RoundTrip:
    shape = tuple(keys.shape)
    if shape != tuple(values.shape) or len(shape) not in {_LAYER_AXES, _BATCH_AXES} or 0 in shape:
        raise InvalidRequestError(
            f"layer {layer}: keys {shape} and values {tuple(values.shape)}; two tensors of one shape, "
            f"({', '.join(AXES)}) or (batch, {', '.join(AXES)}), none of it 0, can make a round trip"
        )
    if not (keys.is_floating_point() and values.is_floating_point()):
        raise InvalidRequestError(f"layer {layer}: keys {keys.dtype} and values {values.dtype}; floats are expected")
    places = torch.arange(shape[-2]) if positions is None else positions
    batch = zip(keys.reshape(-1, *shape[-3:]), values.reshape(-1, *shape[-3:]), strict=True)
    frames = [codec.encode_layer(LayerKV(layer, *item, RopePhase.POST, shape[-2]), places) for item in batch]
    back = [_after_rope(codec.decode_layer(frame, Limits()), places, rope) for frame in frames]
    return RoundTrip(
        torch.stack([kv_keys for kv_keys, _ in back]).reshape(shape).to(keys),
        torch.stack([kv_values for _, kv_values in back]).reshape(shape).to(values),
        sum(map(len, frames)),
    )


def _after_rope(kv: LayerKV, positions: Tensor, rope: RopeTable | None) -> tuple[Tensor, Tensor]:
    if kv.rope is RopePhase.POST or rope is None:
        return kv.keys, kv.values
    return rotate(kv.keys, positions.to(kv.keys.device), rope.layers[kv.layer]), kv.values


def _pairs(cache: Any) -> Sequence[tuple[Tensor, Tensor]]:
    layers = getattr(cache, "layers", cache)
    if not isinstance(layers, Iterable):
        raise InvalidRequestError(f"{type(cache).__name__} has no layers; pass a cache of transformers, or pairs")
    pairs = [tuple(item) if isinstance(item, tuple | list) else _halves(item) for item in layers]
    for at, pair in enumerate(pairs):
        if len(pair) != 2 or not all(isinstance(half, Tensor) for half in pair):  # noqa: PLR2004  # keys and values
            raise InvalidRequestError(f"layer {at} of the cache holds no keys and values; fill the cache first")
    if not pairs:
        raise InvalidRequestError("the cache has no layers; fill it first")
    return pairs


def _halves(item: Any) -> tuple[Any, Any]:
    return getattr(item, "keys", None), getattr(item, "values", None)
