"""``by=random``: seeded, so a run can be repeated; the control that every informed selector must beat."""

import torch
from torch import Tensor

from codec.prune.base import Selector

#: Any number would do; a fixed one makes equal inputs give equal bytes.
_SEED = 20240


class Random(Selector):
    """Depends on heads and tokens only, so with layer scope every layer keeps the same tokens."""

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """Uniform numbers, one per head and token, drawn on the CPU whatever the device."""
        heads, tokens, _ = keys.shape
        return torch.rand(heads, tokens, generator=torch.Generator().manual_seed(_SEED)).to(keys.device)
