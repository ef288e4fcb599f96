"""``by=value_norm``: tokens whose values are long; short ones change the attention output least."""

from torch import Tensor

from codec.prune.base import Selector


class ValueNorm(Selector):
    """The value half of VATP's score, without attention. Source: arXiv 2406.12335, equation 5 (it takes the 1-norm)."""

    def score(self, keys: Tensor, values: Tensor, attention: Tensor | None = None) -> Tensor:  # noqa: ARG002  # the seam
        """Longer is better."""
        return values.float().abs().sum(dim=-1)
