"""How much finer than others tokens travel by where they stand: at position 0, or so far from the end.

What is read next looks back mostly to what is near, and to the first token, on which attention rests; so an error there
costs more. By reverse water-filling a token's step is inversely proportional to the root of its sensitivity.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibration.moments import zone_sizes
from calibration.transform import LEAST_DEVIATION, Transform, sixteenths

#: Gains near the end are multiples of this many sixteenths of an octave.
_SPACING = 8
#: A head's own profile counts for as much as that of all heads when this many gradients have been seen (20 windows of
#: SmolLM2, halves predicting each other: 100 is best by 0.01 to 0.1 bits against 3000 and none, 2026-11-23).
_PRIOR_GRADIENTS = 100.0
#: A token at position 0 with this much more energy than any of calibration is taken for another kind of token.
_SLACK = 2.0


def gains(sensitivity_by_zone: Tensor, draws: int, transform: Transform) -> NDArray[np.int16]:
    """``(layers, 2, heads, zones)``: 16 log2 of how much finer, for ``(zones, layers, 2, heads, dim, dim)``."""
    inverse = transform.inverse.double()
    costs = torch.einsum("lkhij,zlkhjm,lkhim->lkhz", inverse, sensitivity_by_zone, inverse)
    sizes = zone_sizes()
    share = sizes[1:] / sizes[1:].sum()
    relative = costs / (costs[..., 1:] * share).sum(dim=-1, keepdim=True)
    seen = sizes[1:] * draws
    common = relative[..., 1:].mean(dim=(0, 2), keepdim=True)
    steady = (seen * relative[..., 1:] + _PRIOR_GRADIENTS * common) / (seen + _PRIOR_GRADIENTS)
    first, others = sixteenths(relative[..., :1].sqrt()), sixteenths(steady.sqrt())
    return np.concatenate([first, (others + _SPACING // 2) // _SPACING * _SPACING], axis=-1)


def first_tokens(
    tokens: Tensor, gains: NDArray[np.int16], transform: Transform
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Tensors on position 0 from ``(layers, 2, heads, tokens, dim)``; its largest energy, ``(layers, 2, heads)``."""
    means = tokens.mean(dim=-2)
    z = (tokens - means[..., None, :]) @ transform.forward
    scales = sixteenths(z.square().mean(dim=-2).sqrt().clamp(min=torch.finfo(torch.float32).tiny))
    least = sixteenths(torch.tensor(LEAST_DEVIATION)) - gains[..., :1]
    falling = np.maximum.accumulate(np.maximum(scales, least)[..., ::-1], axis=-1)[..., ::-1]
    energies = (z.square().numpy() * np.exp2(falling / -8.0)[..., None, :]).mean(axis=-1)
    return {"first_means": means.numpy(), "first_scales": falling}, (_SLACK * energies.max(axis=-1)).astype(np.float32)
