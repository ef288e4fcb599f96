"""The linear maps of ``rd``: the Karhunen-Loeve transform in a metric.

An error e in a vector x costs e^T M e. With M = L L, y = L x turns cost into squared error; the eigenvectors of y's
covariance then decorrelate it, and a uniform step for all coefficients of all layers, heads, keys and values is the
optimal allocation of bits. Any positive definite matrix per head will do as the metric; here it is Fisher information.

Source: V. Goyal, "Theoretical foundations of transform coding", IEEE Signal Processing Magazine, September 2001.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Of the metric's mean diagonal, added to all of it: an estimate from finite text must not leave directions free.
_SHRINKAGE = 0.1
#: The same for the covariance; only keeps its logarithm finite.
_FLOOR = 1e-6
#: Deviations below this many units are never sent and drown in rounding errors, so that they say nothing of a token.
LEAST_DEVIATION = 2.0**-7
#: The unit is the step at which a Gaussian source would take so many bits per value.
_UNIT_BITS = 2.0


@dataclass(frozen=True, eq=False)
class Transform:
    """``forward``, ``inverse``: as in a calibration file; ``deviations`` (layers, 2, heads, dim), descending, units."""

    forward: Tensor
    inverse: Tensor
    deviations: Tensor

    @property
    def scales(self) -> NDArray[np.int16]:
        """16 log2 of the deviations."""
        return sixteenths(self.deviations.clamp(min=LEAST_DEVIATION))


def sixteenths(ratios: Tensor) -> NDArray[np.int16]:
    """16 log2 of ratios."""
    return (16 * ratios.log2()).round().to(torch.int16).numpy()


def design(covariance: Tensor, metric: Tensor) -> Transform:
    """The maps for ``(layers, 2, heads, dim, dim)`` float64 covariances and metrics."""
    root, inverse_root = _roots(_padded(metric, _SHRINKAGE))
    variances, axes = torch.linalg.eigh(root @ _padded(covariance, _FLOOR) @ root)
    variances, axes = variances.flip(-1).clamp(min=torch.finfo(torch.float64).tiny), axes.flip(-1)
    unit = _unit(variances)
    forward = root @ axes / unit
    inverse = (inverse_root @ axes).mT * unit
    return Transform(forward.float(), inverse.float(), variances.sqrt() / unit)


def _padded(matrix: Tensor, share: float) -> Tensor:
    level = matrix.diagonal(dim1=-1, dim2=-2).mean(dim=-1)[..., None, None]
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
    return (1 - share) * matrix + share * level.clamp(min=torch.finfo(torch.float32).tiny) * identity


def _roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and its inverse, symmetric."""
    values, vectors = torch.linalg.eigh(matrix)
    values = values.clamp(min=values.amax(dim=-1, keepdim=True) * 1e-9)
    return (vectors * values.sqrt()[..., None, :]) @ vectors.mT, (vectors * values.rsqrt()[..., None, :]) @ vectors.mT


def _unit(variances: Tensor) -> Tensor:
    """Bisect the logarithm of the step; a uniform step s distorts by s^2 / 12.

    Source: T. Berger, Rate Distortion Theory (1971), section 4.5.
    """
    low, high = variances.min().log2() / 2 - 8, variances.max().log2() / 2 + 8
    for _ in range(60):
        middle = (low + high) / 2
        bits = ((variances.log2() - 2 * middle + np.log2(12)) / 2).clamp(min=0).mean()
        low, high = (middle, high) if bits > _UNIT_BITS else (low, middle)
    return 2**low
