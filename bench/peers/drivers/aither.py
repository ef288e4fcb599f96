"""aither-kvcache: TurboQuant (random rotation, Lloyd-Max levels; arXiv 2504.19874) and its two-group hybrid with QJL.

Bytes: those of the TQKV file format (a header, packed codes, float32 norms); the hybrid's packed vectors. The hybrid's
groups are its data-oblivious ones: chosen by the data they would have to travel too.
"""

from pathlib import Path

import torch
from aither_kvcache import HybridTurboQuant, TurboQuant
from aither_kvcache.persistence import HEADER_SIZE
from torch import Tensor


class Turbo:
    """``turboquant:bits=2|3|4``: every vector of a head and token on its own."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def encode(self, cache: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Packed codes and norms, of keys and of values."""
        quantizer = self._quantizer(cache["keys"].shape[-1])
        return [quantizer.encode(cache[half]) for half in ("keys", "values")]

    def size(self, encoded: list[tuple[Tensor, Tensor]]) -> int:
        """One file."""
        return int(HEADER_SIZE) + sum(part.nbytes for half in encoded for part in half)

    def decode(self, encoded: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Back."""
        packed, _ = encoded[0]
        quantizer = self._quantizer(packed.shape[-1] * 8 // self._bits)
        return {half: quantizer.decode(*part) for half, part in zip(("keys", "values"), encoded, strict=True)}

    def _quantizer(self, head_dim: int) -> TurboQuant:
        return TurboQuant(head_dim=head_dim, bits=self._bits, device="cpu", dtype=torch.float32)


class Hybrid:
    """``hybrid:mode=tq25|tq35``."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._head_dim = 0

    def encode(self, cache: dict[str, Tensor]) -> list[Tensor]:
        """Packed vectors of keys and of values."""
        self._head_dim = cache["keys"].shape[-1]
        return [self._quantizer().encode(cache[half]) for half in ("keys", "values")]

    def size(self, encoded: list[Tensor]) -> int:
        """No header: the library has no file format for these."""
        return sum(part.nbytes for part in encoded)

    def decode(self, encoded: list[Tensor]) -> dict[str, Tensor]:
        """Back."""
        return {
            half: self._quantizer().decode(part).float() for half, part in zip(("keys", "values"), encoded, strict=True)
        }

    def _quantizer(self) -> HybridTurboQuant:
        quantizer = HybridTurboQuant(head_dim=self._head_dim, mode=self._mode, device="cpu")
        quantizer.calibrate_uniform()
        return quantizer


def make(codec: str, _model: Path) -> Turbo | Hybrid:
    """``turboquant:bits=N`` or ``hybrid:mode=NAME``."""
    name, _, value = codec.partition(":")
    setting = value.partition("=")[2]
    return Turbo(int(setting)) if name == "turboquant" else Hybrid(setting)
