"""``by=attention``: the tokens that the sharer's own last queries looked at."""

from typing import ClassVar

from torch import Tensor
from torch.nn.functional import max_pool1d

from codec.prune.base import Selector
from kvwire.errors import InvalidRequestError

#: SnapKV's kernel: neighbours of a token that is looked at stay with it, or half a phrase would be left.
_POOL_TOKENS = 7


class ObservedAttention(Selector):
    """The attention that each token drew from the last queries of the prefill, pooled over neighbours.

    Source: SnapKV, arXiv 2404.14469, listing 1 (window, pooling); H2O, arXiv 2306.14048, is the same over all queries.
    """

    observes: ClassVar[bool] = True

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """More is better: the largest mass among a token and its neighbours.

        Raises:
            InvalidRequestError: No attention was observed, or not for every head and token.
        """
        if attention is None:
            raise InvalidRequestError("this selector needs the attention of a prefill, and none was observed")
        if tuple(attention.shape) != tuple(keys.shape[:2]):
            raise InvalidRequestError(
                f"attention: mass of {tuple(attention.shape)} heads and tokens, keys of {tuple(keys.shape[:2])}"
            )
        return max_pool1d(attention.float(), _POOL_TOKENS, stride=1, padding=_POOL_TOKENS // 2)
