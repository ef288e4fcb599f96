"""Nothing: for keys or values that nobody takes. Zeros stand where they were; only ``mix=`` can ask for it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.planes import Planes, PlaneShape
from codec.quantize.base import Context, Quantizer

#: Its name in a spec.
OMIT = "omit"


@dataclass(frozen=True)
class Omit(Quantizer):
    """No planes at all."""

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:  # noqa: ARG002  # the seam's signature
        """None."""
        return ()

    def quantize(self, x: Tensor, ctx: Context) -> Planes:  # noqa: ARG002  # as above
        """None, whatever the numbers."""
        return ()

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:  # noqa: ARG002  # as above
        """Zeros."""
        return torch.zeros(ctx.shape)

    def error_bound(self, x: Tensor) -> Tensor:
        """All of it."""
        return x.float().abs()
