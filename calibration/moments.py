"""First and second moments of caches and of the sensitivity to them, per layer, keys or values, and head."""

from collections.abc import Iterable

import torch
from torch import Tensor

from calibration.reader import Layers

#: The first tokens are attention sinks, unlike all others; they travel precisely and are left out here.
SINKS = 4


class Moments:
    """Sums over tokens; shapes ``(layers, 2, heads, dim[, dim])``, float64."""

    def __init__(self, layers: int, heads: int, dim: int) -> None:
        self.tokens = 0
        self.draws = 0
        self._sum = torch.zeros(layers, 2, heads, dim, dtype=torch.float64)
        self._products = torch.zeros(layers, 2, heads, dim, dim, dtype=torch.float64)
        self._sensitivity = torch.zeros_like(self._products)

    def add(self, layers: Layers, gradients: Iterable[list[Tensor]]) -> None:
        """Count one window's cache and the gradients for it."""
        for index, halves in enumerate(layers):
            for kind, half in enumerate(halves):
                ordinary = half.detach()[:, SINKS:]
                self._sum[index, kind] += ordinary.sum(dim=1, dtype=torch.float64)
                self._products[index, kind] += ordinary.mT @ ordinary
        self.tokens += layers[0][0].shape[1] - SINKS
        for draw in gradients:
            for at, gradient in enumerate(draw):
                ordinary = gradient[:, SINKS:]
                self._sensitivity[at // 2, at % 2] += ordinary.mT @ ordinary
            self.draws += layers[0][0].shape[1] - SINKS

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
        return self._sensitivity / self.draws
