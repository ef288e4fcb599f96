"""nexusquant-kv: Hadamard rotation and a lattice near E8; keys before RoPE, its pipeline "quant_only".

The library's caches hold dequantized floats. Bytes are counted as its accounting does: doubled lattice coordinates by
one of its coders, and a float16 scale per vector; decoded is what these say. Of its coders this is the shortest here:
Zstandard without differences of neighbours (2.05 and 3.38 bits a coordinate of keys at 2 and 3 bits; with
differences 3.05 and 4.19, rANS under the cache's own table 2.82 and 3.77, under the tables it ships 5.54 and 6.95).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from nexusquant.core.e8_lattice import E8Lattice
from nexusquant.core.hadamard import hadamard_matrix
from nexusquant.core.rope_utils import forward_rope, inverse_rope
from nexusquant.core.temporal_codec import compress_indices, decompress_indices
from torch import Tensor


@dataclass(frozen=True)
class Half:
    """Keys or values of all layers: a stream of lattice coordinates, a scale per vector."""

    stream: bytes
    scales: Tensor
    shape: torch.Size


class E8:
    """``kNvM``: N bits for keys, M for values."""

    def __init__(self, key_bits: int, value_bits: int, rope_theta: float) -> None:
        self._bits = {"keys": key_bits, "values": value_bits}
        self._theta = rope_theta

    def encode(self, cache: dict[str, Tensor]) -> dict[str, Half]:
        """Keys and values."""
        before = torch.stack([inverse_rope(layer, base=self._theta) for layer in cache["keys"]])
        return {half: _encode(x, self._bits[half]) for half, x in (("keys", before), ("values", cache["values"]))}

    def size(self, encoded: dict[str, Half]) -> int:
        """Streams and scales."""
        return sum(len(half.stream) + half.scales.nbytes for half in encoded.values())

    def decode(self, encoded: dict[str, Half]) -> dict[str, Tensor]:
        """Back, keys after RoPE."""
        decoded = {name: _decode(half) for name, half in encoded.items()}
        return {**decoded, "keys": torch.stack([forward_rope(layer, base=self._theta) for layer in decoded["keys"]])}


def _encode(x: Tensor, bits: int) -> Half:
    turned = x @ hadamard_matrix(x.shape[-1])
    levels = 2**bits
    # The scale inside quantize_perhead, which returns the product alone
    scales = turned.abs().amax(dim=-1, keepdim=True) / (levels / 2)
    points = E8Lattice.quantize_perhead(turned, levels=levels) / scales.clamp(min=torch.finfo(torch.float32).tiny)
    coordinates = (points * 2).round().to(torch.int8)
    stream = compress_indices(coordinates.numpy().reshape(-1), x.shape[-2], use_delta=False)
    return Half(stream, scales.half(), x.shape)


def _decode(half: Half) -> Tensor:
    points = torch.from_numpy(decompress_indices(half.stream)).reshape(half.shape).float() / 2
    back: Tensor = hadamard_matrix(half.shape[-1]).T
    return points * half.scales.float() @ back


def make(codec: str, model: Path) -> E8:
    """``k3v2`` and the like."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return E8(int(codec[1]), int(codec[3]), float(config["rope_parameters"]["rope_theta"]))
