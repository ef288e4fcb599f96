"""kvcodec: anchors every few tokens or layers in float16, 8-bit residuals to them. Its three codecs at their defaults.

Bytes: its own ``bytes_compressed()`` and the float32 norms that its decoder multiplies by, which that count leaves out.
"""

from pathlib import Path
from typing import Any

import kvcodec
import torch
from torch import Tensor


class PerLayer:
    """``seq``: each layer on its own."""

    def __init__(self) -> None:
        self._codec = kvcodec.SeqCodec()

    def encode(self, cache: dict[str, Tensor]) -> list[Any]:
        """A compressed layer each."""
        return [self._codec.compress(*layer) for layer in zip(cache["keys"], cache["values"], strict=True)]

    def size(self, encoded: list[Any]) -> int:
        """All layers."""
        return sum(map(_bytes, encoded))

    def decode(self, encoded: list[Any]) -> dict[str, Tensor]:
        """Back."""
        keys, values = zip(*(self._codec.decompress(layer) for layer in encoded), strict=True)
        return {"keys": torch.stack(keys), "values": torch.stack(values)}


class Stacked:
    """``layer`` and ``joint``: all layers at once."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def encode(self, cache: dict[str, Tensor]) -> Any:
        """One compressed stack."""
        return self._codec.compress(list(cache["keys"]), list(cache["values"]))

    def size(self, encoded: Any) -> int:
        """The stack."""
        return _bytes(encoded)

    def decode(self, encoded: Any) -> dict[str, Tensor]:
        """Back."""
        keys, values = self._codec.decompress(encoded)
        return {"keys": torch.stack(keys), "values": torch.stack(values)}


def _bytes(compressed: Any) -> int:
    return int(compressed.bytes_compressed() + compressed.norm_k.nbytes + compressed.norm_v.nbytes)


def make(codec: str, _model: Path) -> PerLayer | Stacked:
    """``seq``, ``layer`` or ``joint``."""
    if codec == "seq":
        return PerLayer()
    return Stacked({"layer": kvcodec.LayerCodec, "joint": kvcodec.JointCodec}[codec]())
