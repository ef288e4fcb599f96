"""``center=``: take each channel's mean out before a quantizer that has one scale for many channels, add it after.

Models with a bias on their keys (Qwen2.5) have channels that are large in every token; under a common scale, or turned
by a rotation, they drown the others. The mean of each head's channel over the message's tokens travels as float16, 16
bits per channel.

``auto``, the default of these codecs, decides for each head of the message's keys and values by a rule on the numbers
themselves: for every token the bits of a mean, 16 / tokens per value, must buy more than finer steps would. A bit makes
steps half as long and errors a quarter, so a head is centered if the energy of each token's vector falls below
4 ** (-16 / tokens) of what it was. Twelve tokens pay only for a strong bias, long messages for a weak one, and fewer
than four never, where means would take as many bits as the codes. A plane ``m`` is there, or it is not; heads without a
mean have zeros in it.

Every token, not their sum: an attention sink has short values, and the mean would make them long, with an error to
match in the token that is attended to most (SmolLM2, 512 tokens, nf4: KL 0.025 plain, 0.064 centered everywhere).

The rule is ours; the remedy is known (transformers issue 35185; SmoothQuant+ and KVQuant, arXiv 2401.18079, avoid it by
quantizing per channel).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize.base import Context, Quantizer
from codec.quantize.hadamard import Hadamard
from codec.quantize.halving import sum_in_halves
from codec.quantize.int4 import Int4
from codec.quantize.int8 import Int8
from codec.quantize.nf4 import Nf4

Center = Literal["auto", "channel", "none"]
_MEAN_BITS = 16
_FEWEST_TOKENS = 4


class Centered(Quantizer):
    """A ``plain`` quantizer behind a mean; a subclass names it and has ``center`` beside its parameters."""

    center: Center

    def __post_init__(self) -> None:
        self.plain()  # refuses its own parameters

    @abstractmethod
    def plain(self) -> Quantizer:
        """What codes the numbers around the means."""

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """The plain planes, then means ``m`` (kv_heads, 1, head_dim)."""
        plain = self.plain().layout(ctx)
        if self.center == "none":
            return plain
        shape = (ctx.kv_heads, 1, ctx.head_dim)
        return (*plain, PlaneShape("m", torch.float16, shape, optional=self.center == "auto"))

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Subtract in float32, where there is a mean."""
        mean = self._mean(x.float())
        if mean is None:
            return self.plain().quantize(x, ctx)
        return (*self.plain().quantize(x.float() - mean.float(), ctx), Plane("m", mean))

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Add, where there is a mean."""
        if planes[-1].name != "m":
            return self.plain().dequantize(planes, ctx)
        return self.plain().dequantize(planes[:-1], ctx).add_(planes[-1].data.float())

    def error_bound(self, x: Tensor) -> Tensor:
        """That of the plain quantizer around the means."""
        mean = self._mean(x.float())
        return self.plain().error_bound(x if mean is None else x.float() - mean.float())

    def _mean(self, x: Tensor) -> Tensor | None:
        """``(kv_heads, 1, head_dim)`` float16, if there shall be one."""
        if self.center == "none":
            return None
        mean = (sum_in_halves(x, dim=1) / x.shape[1]).to(torch.float16)
        if self.center == "channel":
            return mean
        pays = _pays(x, mean)
        return mean * pays if bool(pays.any()) else None


def _pays(x: Tensor, mean: Tensor) -> Tensor:
    """``(kv_heads, 1, 1)`` bool; false for NaN and infinity, which the plain quantizer then refuses."""
    if x.shape[1] < _FEWEST_TOKENS:
        return torch.zeros((x.shape[0], 1, 1), dtype=torch.bool, device=x.device)
    around, whole = (sum_in_halves(each.square(), dim=-1) for each in (x - mean.float(), x))
    shorter: Tensor = around < whole * 4.0 ** (-_MEAN_BITS / x.shape[1])
    return shorter.all(dim=1, keepdim=True)


@dataclass(frozen=True)
class CenteredInt8(Centered):
    """``int8``; centers on demand only: 8 bits have room for a bias."""

    per: Literal["token", "head"] = "token"
    center: Center = "none"

    def plain(self) -> Quantizer:
        """Without a mean."""
        return Int8(self.per)


@dataclass(frozen=True)
class CenteredInt4(Centered):
    """``int4``."""

    block: int = 64
    center: Center = "auto"

    def plain(self) -> Quantizer:
        """Without a mean."""
        return Int4(self.block)


@dataclass(frozen=True)
class CenteredNf4(Centered):
    """``nf4``."""

    block: int = 64
    center: Center = "auto"

    def plain(self) -> Quantizer:
        """Without a mean."""
        return Nf4(self.block)


@dataclass(frozen=True)
class CenteredHadamard(Centered):
    """``hadamard``."""

    bits: int = 4
    center: Center = "auto"

    def plain(self) -> Quantizer:
        """Without a mean."""
        return Hadamard(self.bits)
