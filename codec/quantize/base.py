"""The quantizer seam: ``encode(x, ctx) -> Planes``, ``decode(planes, ctx) -> x``.

Two quantizers may share a base name and parameters only if each decodes the other's planes bit for bit. Encoding is
deterministic: element-wise float32 arithmetic and order-independent reductions (maximum) only, so the same input gives
the same bytes and given bytes decode to the same floats on every CPU.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, final

import torch
from torch import Tensor

from codec.calibration import Calibration, Half
from codec.planes import Planes, PlaneShape, check_planes
from kvwire.errors import BindingError, InvalidRequestError


class Kind(StrEnum):
    """Which half of a layer's cache."""

    KEY = "keys"
    VALUE = "values"


@dataclass(frozen=True, eq=False)
class Context:
    """What a quantizer may know of the tensor besides its numbers; the same on both sides of the wire.

    - tokens: how many the tensor holds, after pruning.
    - positions: each token's index in the unpruned cache, ``(tokens,)`` or, if heads keep different tokens,
      ``(kv_heads, tokens)``, int64.
    - calibration: tables of the model at hand; None for quantizers that need none.
    """

    layer: int
    kind: Kind
    kv_heads: int
    tokens: int
    head_dim: int
    positions: Tensor
    calibration: Calibration | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the tensor, ``(kv_heads, tokens, head_dim)``."""
        return self.kv_heads, self.tokens, self.head_dim

    def __str__(self) -> str:
        return f"layer {self.layer} {self.kind.value}"


class Quantizer(ABC):
    """A way to write numbers as planes. Subclasses are frozen dataclasses whose fields are the spec's parameters."""

    #: Whether it works only with tables calibrated for the model, which are for keys before RoPE.
    needs_calibration: ClassVar[bool] = False
    #: Whether its loops use no threads of their own, so that keys and values are worth a thread each.
    on_one_thread: ClassVar[bool] = False

    @abstractmethod
    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """The planes of a tensor of ``ctx.shape``, in order."""

    @abstractmethod
    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Planes of ``x``, ``(kv_heads, tokens, head_dim)``, any float dtype, any strides.

        Numbers that cannot be carried must surface as NaN or infinity in some plane; :meth:`encode` then refuses them.
        """

    @abstractmethod
    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """``(kv_heads, tokens, head_dim)``, float32, from planes that are as :meth:`layout` says."""

    @abstractmethod
    def error_bound(self, x: Tensor) -> Tensor:
        """Upper bound on ``|decoded - x|`` in exact arithmetic, float32, broadcastable to ``x``."""

    @final
    def encode(self, x: Tensor, ctx: Context) -> Planes:
        """Planes of ``x``, ``(kv_heads, tokens, head_dim)``, any float dtype.

        Raises:
            InvalidRequestError: ``x`` is not of ``ctx.shape``, is no float tensor, or has numbers this quantizer would
                have to corrupt: NaN, infinity, or a magnitude beyond its range. Nothing is clipped silently, since a
                clipped outlier (an attention sink) ruins the whole cache.
        """
        if tuple(x.shape) != ctx.shape or not x.is_floating_point():
            raise InvalidRequestError(f"{ctx}: a float tensor of {ctx.shape} expected, got {x.dtype} {tuple(x.shape)}")
        planes = self.quantize(x, ctx)
        if not all(plane.finite() for plane in planes):
            raise unrepresentable(x, ctx, type(self).__name__)
        return planes

    @final
    def decode(self, planes: Planes, ctx: Context) -> Tensor:
        """``(kv_heads, tokens, head_dim)``, float32, finite.

        Raises:
            DataLossError: Planes are not as :meth:`layout` says or hold NaN or infinity; checked before allocating.
        """
        check_planes(planes, self.layout(ctx), str(ctx))
        return self.dequantize(planes, ctx)


def unrepresentable(x: Tensor, ctx: Context, quantizer: str) -> InvalidRequestError:
    """Name the first number, in row-major order, that is NaN or infinite; of finite ones, the largest."""
    wrong = ~torch.isfinite(x)
    found = bool(wrong.any())
    at = int(wrong.flatten().to(torch.uint8).argmax() if found else x.flatten().abs().argmax())
    head, rest = divmod(at, ctx.tokens * ctx.head_dim)
    token, channel = divmod(rest, ctx.head_dim)
    where = f"{ctx}, head {head}, token {token}, channel {channel}: {float(x[head, token, channel])!r}"
    if found:
        return InvalidRequestError(f"{where} is not a number a cache can hold; run the model in float32 or bfloat16")
    return InvalidRequestError(f"{where} is beyond the range of {quantizer}; use bf16 or fp32")


def calibrated(ctx: Context) -> tuple[Calibration, Half]:
    """The model's tables, and what they say of the tensor at hand.

    Raises:
        BindingError: There are none, or they are of another model.
    """
    if ctx.calibration is None:
        raise BindingError(f"{ctx}: this codec needs the model's tables; make them with: kvwire codec calibrate MODEL")
    return ctx.calibration, ctx.calibration.half(ctx.layer, ctx.kind is Kind.VALUE, ctx.kv_heads, ctx.head_dim)
