"""LMCache's CacheGen serializer (arXiv 2310.07240) by the torch and numba operations that it has for a CPU.

Bytes: those it would store, its pickled object. As in LMCache, caches are bfloat16 and cut into chunks of 256 tokens.
"""

from pathlib import Path

import torch
from lmcache.storage_backend.serde.cachegen_decoder import CacheGenDeserializer
from lmcache.storage_backend.serde.cachegen_encoder import CacheGenSerializer
from lmcache.v1.config import LMCacheEngineConfig
from lmcache.v1.metadata import LMCacheMetadata
from torch import Tensor

_DTYPE = torch.bfloat16


class CacheGen:
    """``cachegen``: bins of each layer as LMCache chooses them by the number of layers."""

    def __init__(self, model: Path) -> None:
        self._config = LMCacheEngineConfig.from_defaults()
        shape = (0, 2, self._config.chunk_size, 0, 0)  # read by other serializers only
        self._metadata = LMCacheMetadata(str(model), 1, 1, 0, 0, _DTYPE, shape)

    def encode(self, cache: dict[str, Tensor]) -> list[bytes]:
        """A chunk each."""
        serializer = CacheGenSerializer(self._config, self._metadata)
        # LMCache's order: layers, keys and values, tokens, heads, channels
        both = torch.stack((cache["keys"], cache["values"]), dim=1).transpose(2, 3).to(_DTYPE)
        return [serializer.to_bytes(chunk) for chunk in both.split(self._config.chunk_size, dim=2)]

    def size(self, encoded: list[bytes]) -> int:
        """All chunks."""
        return sum(map(len, encoded))

    def decode(self, encoded: list[bytes]) -> dict[str, Tensor]:
        """Back."""
        deserializer = CacheGenDeserializer(self._config, self._metadata, _DTYPE)
        # Each chunk is decoded into the same buffer
        both = torch.cat([deserializer.from_bytes(chunk).clone() for chunk in encoded], dim=2).transpose(2, 3).float()
        return {"keys": both[:, 0].contiguous(), "values": both[:, 1].contiguous()}


def make(_codec: str, model: Path) -> CacheGen:
    """There is one."""
    return CacheGen(model)
