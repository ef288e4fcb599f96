"""``by=front``: the first tokens; the control that recency must beat."""

import torch
from torch import Tensor

from codec.prune.base import Selector


class Front(Selector):
    """The start of the context, as truncation keeps it."""

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """Earlier is better."""
        heads, tokens, _ = keys.shape
        return -torch.arange(tokens, dtype=torch.float32, device=keys.device).expand(heads, -1)
