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

from codec.kernels import means as kernel
from codec.kernels.memory import in_main_memory
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
        mean = self._mean(x)
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
        mean = self._mean(x)
        return self.plain().error_bound(x if mean is None else x.float() - mean.float())

    def _mean(self, x: Tensor) -> Tensor | None:
        """``(kv_heads, 1, head_dim)`` float16, if there shall be one."""
        tokens = x.shape[1]
        if self.center == "none" or (self.center == "auto" and tokens < _FEWEST_TOKENS):
            return None
        mean = (sums(x) / tokens).to(torch.float16)
        if self.center == "channel":
            return mean
        # False for NaN and infinity, which the plain quantizer then refuses; a mean beyond float16 is one of them.
        pays = all_shorter(x, mean, 4.0 ** (-_MEAN_BITS / tokens))
        return mean.where(pays, 0) if bool(pays.any()) else None


def sums(x: Tensor) -> Tensor:
    """Over the tokens, ``(kv_heads, 1, head_dim)`` float32."""
    return kernel.sums(x) if in_main_memory(x) else sums_plainly(x)


def all_shorter(x: Tensor, mean: Tensor, share: float) -> Tensor:
    """``(kv_heads, 1, 1)`` bool: every vector of a head has less than ``share`` of its energy around the mean."""
    return kernel.all_shorter(x, mean, share) if in_main_memory(x) else all_shorter_plainly(x, mean, share)


def sums_plainly(x: Tensor) -> Tensor:
    """What the kernel computes, in torch."""
    return sum_in_halves(x.float(), dim=1)


def all_shorter_plainly(x: Tensor, mean: Tensor, share: float) -> Tensor:
    """What the kernel computes, in torch."""
    around, whole = (sum_in_halves(each.square(), dim=-1) for each in (x.float() - mean.float(), x.float()))
    shorter: Tensor = around < whole * share
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
