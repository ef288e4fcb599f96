"""``by=recency``: the last tokens, as a sliding window would keep them."""

import torch
from torch import Tensor

from codec.prune.base import Selector


class Recency(Selector):
    """With ``sinks`` this is StreamingLLM's choice (arXiv 2309.17453, section 3.2)."""

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """Later is better."""
        heads, tokens, _ = keys.shape
        return torch.arange(tokens, dtype=torch.float32, device=keys.device).expand(heads, -1)
