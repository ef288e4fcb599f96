"""How fast layers become frames and frames layers, beside a plain copy of the same tensors in the same run.

Speeds are bytes of the layer counted as bfloat16, per second of the best of many runs: on a machine with other work
the best is the one least disturbed. Whole frames are made and read, checksum and all.
"""

import time
from collections.abc import Callable
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


def measure(spec: CodecSpec, shape: Shape, budget_s: float, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Encode, decode and copy a layer of Gaussian numbers for ``budget_s`` seconds each.

    Raises:
        SpecError: This build does not offer the spec.
    """
    kv, codec, limits = _layer(shape), Codec(spec, _ropes(shape.head_dim)), Limits()
    positions = torch.arange(shape.tokens)
    data = codec.encode_layer(kv, positions)
    encode_s = best_s(lambda: codec.encode_layer(kv, positions), budget_s, clock)
    decode_s = best_s(lambda: codec.decode_layer(data, limits), budget_s, clock)
    copy_s = best_s(lambda: (kv.keys.clone(), kv.values.clone()), budget_s, clock)
    gigabytes = _BYTES_OF_BF16 * 2 * kv.keys.numel() / 1e9
    return Speed(
        codec=str(spec),
        tokens=shape.tokens,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
        dtype=str(shape.dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        bits_per_value=bits_per_value(len(data), kv),
        encode_gbps=gigabytes / encode_s,
        decode_gbps=gigabytes / decode_s,
        copy_gbps=gigabytes / copy_s,
        encode_us=encode_s * 1e6,
        decode_us=decode_s * 1e6,
    )


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
