"""How fast layers become frames and frames layers, beside a plain copy of the same tensors in the same run.

Speeds are bytes of the layer counted as bfloat16, per second of the best of many runs: on a machine with other work
the best is the one least disturbed. Whole frames are made and read, checksum and all.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV, bits_per_value
from codec.rope import LayerRope, RopeTable
from codec.spec import CodecSpec, RopePhase

_BYTES_OF_BF16 = 2
_ROPE_BASE = 10_000.0


@dataclass(frozen=True)
class Shape:
    """One layer: ``dtype`` is that of the tensors handed to the encoder."""

    tokens: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype


@dataclass(frozen=True)
class Speed:
    """One codec's row; times are per layer, of the best run."""

    codec: str
    tokens: int
    kv_heads: int
    head_dim: int
    dtype: str
    threads: int
    bits_per_value: float
    encode_gbps: float
    decode_gbps: float
    copy_gbps: float
    encode_us: float
    decode_us: float


@dataclass(frozen=True)
class Times:
    """Seconds of the best run over all layers at once, and what they became."""

    encode_s: float
    decode_s: float
    copy_s: float
    frame_bytes: int


def measure(spec: CodecSpec, shape: Shape, budget_s: float, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Encode, decode and copy a layer of Gaussian numbers for ``budget_s`` seconds each.

    Raises:
        SpecError: This build does not offer the spec.
    """
    kv = _layer(shape)
    times = time_layers(Codec(spec, _ropes(shape.head_dim)), [kv], budget_s, clock)
    gigabytes = gigabytes_of([kv])
    return Speed(
        codec=str(spec),
        tokens=shape.tokens,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        dtype=str(shape.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        bits_per_value=bits_per_value(times.frame_bytes, kv),
        encode_gbps=gigabytes / times.encode_s,
        decode_gbps=gigabytes / times.decode_s,
        copy_gbps=gigabytes / times.copy_s,
        encode_us=times.encode_s * 1e6,
        decode_us=times.decode_s * 1e6,
    )


def time_layers(
    codec: Codec, layers: Sequence[LayerKV], budget_s: float, clock: Callable[[], float] = time.perf_counter
) -> Times:
    """Encode, decode and copy layers of one length, one after the other, for ``budget_s`` seconds each."""
    positions, limits = torch.arange(layers[0].tokens), Limits()
    frames = [codec.encode_layer(kv, positions) for kv in layers]
    return Times(
        encode_s=best_s(lambda: [codec.encode_layer(kv, positions) for kv in layers], budget_s, clock),
        decode_s=best_s(lambda: [codec.decode_layer(frame, limits) for frame in frames], budget_s, clock),
        copy_s=best_s(lambda: [(kv.keys.clone(), kv.values.clone()) for kv in layers], budget_s, clock),
        frame_bytes=sum(map(len, frames)),
    )


def gigabytes_of(layers: Sequence[LayerKV]) -> float:
    """Their size, counted as bfloat16."""
    return sum(_BYTES_OF_BF16 * 2 * kv.keys.numel() for kv in layers) / 1e9


def best_s(run: Callable[[], object], budget_s: float, clock: Callable[[], float]) -> float:
    """Seconds of the fastest run out of those that fit the budget; one at least, after one that does not count."""
    run()
    best, end = float("inf"), clock() + budget_s
    while True:
        start = clock()
        run()
        now = clock()
        best = min(best, now - start)
        if now >= end:
            return best


def _layer(shape: Shape) -> LayerKV:
    generator = torch.Generator().manual_seed(0)
    size = (shape.kv_heads, shape.tokens, shape.head_dim)
    keys, values = (torch.randn(size, generator=generator).to(shape.dtype) for _ in range(2))
    return LayerKV(0, keys, values, RopePhase.POST, shape.tokens)


def _ropes(head_dim: int) -> RopeTable:
    pairs = head_dim // 2
    return RopeTable((LayerRope(_ROPE_BASE ** (-torch.arange(pairs) / max(pairs, 1))),))
