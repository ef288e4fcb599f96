"""First and second moments of caches and of the sensitivity to them, per layer, keys or values, and head."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor

from calibration.reader import CONTEXT_TOKENS, Layers

#: The first tokens are often attention sinks, unlike all others; the statistics of the others leave them out.
SINKS = 4
#: Position 0, then the last token, the one before, the 2 before these, the 4 before these, ...; the last begins here.
ZONES = 11
_BEFORE_LAST = (0, *(2**zone for zone in range(ZONES - 2)), CONTEXT_TOKENS - SINKS)


class Moments:
    """Sums over tokens; shapes ``(layers, 2, heads, dim[, dim])``, float64."""

    def __init__(self, layers: int, heads: int, dim: int) -> None:
        self.tokens = 0
        self.draws = 0
        self._sum = torch.zeros(layers, 2, heads, dim, dtype=torch.float64)
        self._products = torch.zeros(layers, 2, heads, dim, dim, dtype=torch.float64)
        self._sensitivity = torch.zeros(ZONES, *self._products.shape, dtype=torch.float64)

    def add(self, layers: Layers, gradients: Iterable[list[Tensor]]) -> None:
        """Count one window's cache and the gradients for it."""
        for index, halves in enumerate(layers):
            for kind, half in enumerate(halves):
                ordinary = half.detach()[:, SINKS:]
                self._sum[index, kind] += ordinary.sum(dim=1, dtype=torch.float64)
                self._products[index, kind] += ordinary.mT @ ordinary
        self.tokens += CONTEXT_TOKENS - SINKS
        for draw in gradients:
            for at, gradient in enumerate(draw):
                for zone, tokens in enumerate(zone_slices()):
                    part = gradient[:, tokens]
                    self._sensitivity[zone, at // 2, at % 2] += part.mT @ part
            self.draws += 1

    @property
    def mean(self) -> Tensor:
        """``(layers, 2, heads, dim)``."""
        return self._sum / self.tokens

    @property
    def covariance(self) -> Tensor:
        """``(layers, 2, heads, dim, dim)``."""
        return self._products / self.tokens - self.mean[..., None] * self.mean[..., None, :]

    @property
    def sensitivity(self) -> Tensor:
        """Fisher information of one token's vector, ``(layers, 2, heads, dim, dim)``."""
        return self._sensitivity[1:].sum(dim=0) / (self.draws * (CONTEXT_TOKENS - SINKS))

    @property
    def sensitivity_by_zone(self) -> Tensor:
        """``(zones, layers, 2, heads, dim, dim)``."""
        return self._sensitivity / self.draws / zone_sizes()[:, None, None, None, None, None]


def zone_slices() -> list[slice]:
    """Of a context's tokens."""
    pairs = pairwise(_BEFORE_LAST)
    return [slice(0, 1), *(slice(CONTEXT_TOKENS - last, CONTEXT_TOKENS - first) for first, last in pairs)]


def zone_sizes() -> Tensor:
    """``(zones,)``: tokens in each."""
    return torch.tensor([zone.stop - zone.start for zone in zone_slices()], dtype=torch.float64)
