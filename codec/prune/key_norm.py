"""``by=key_norm``: tokens whose keys are short, which draw the most attention."""

from torch import Tensor

from codec.prune.base import Selector


class KeyNorm(Selector):
    """Source: "A Simple and Effective L2 Norm-Based Strategy for KV Cache Compression", arXiv 2406.11430, section 3."""

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """Shorter is better; RoPE turns a key but does not stretch it, so its phase hardly matters."""
        return -keys.float().square().sum(dim=-1).sqrt()
