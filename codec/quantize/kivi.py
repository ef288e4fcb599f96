"""``kivi``: 2 to 4 bits under a float16 minimum and step, keys in groups of tokens, values in groups of channels.

Keys have channels that are large in every token, so a group is one channel of ``group`` consecutive tokens; values have
no such channels, so a group is ``group`` consecutive channels of one token. Code = round half to even
((x - minimum) / step), x = code x step + minimum. The minimum is rounded down and the step up to float16, so that no
code is clipped.

A message is whole and has no streaming residual. What is left after the last full group is a shorter group if it has
three numbers or more, else it travels as float16, which then takes fewer bytes. bits + 32 / group bits per value.
Source: KIVI, arXiv 2402.02750, sections 3.2 and 3.3; its float16 window of the last 128 tokens serves decoding, and is
not sent.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize.base import Context, Kind, Quantizer
from codec.quantize.bits import pack, packed_bytes, unpack
from codec.quantize.scale import SMALLEST, float16_above
from kvwire.errors import SpecError

_WIDTHS = (2, 3, 4)
#: Numbers left over that are cheaper as float16: n x bits + 32 is more than 16 n up to n = 2, for 2 to 4 bits.
_LOOSE = 2


@dataclass(frozen=True)
class _Cut:
    """How an axis of numbers falls into ``groups`` of ``group``, the last perhaps shorter, and ``loose`` ones."""

    group: int
    groups: int
    loose: int

    @classmethod
    def of(cls, numbers: int, group: int) -> "_Cut":
        full, rest = divmod(numbers, group)
        return cls(group, full, rest) if rest <= _LOOSE else cls(group, full + 1, 0)


@dataclass(frozen=True)
class Kivi(Quantizer):
    """``kivi``, ``kivi:bits=2``, ``kivi:bits=3,group=64``."""

    bits: int = 4
    group: int = 32

    def __post_init__(self) -> None:
        if self.bits not in _WIDTHS:
            raise SpecError(f"bits must be 2, 3 or 4; {self.bits} is not")
        if self.group <= _LOOSE:
            raise SpecError(f"group must be at least {_LOOSE + 1}; {self.group} costs more than float16")

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:
        """Codes ``q`` (bytes,); steps ``s`` and minima ``m`` (kv_heads, rows, groups); ``r`` (kv_heads, rows, loose).

        A row is a key channel or a value token. Planes without elements are left out.
        """
        rows, numbers = self._axes(ctx)
        cut, planes = _Cut.of(numbers, self.group), list[PlaneShape]()
        if cut.groups:
            codes = ctx.kv_heads * rows * (numbers - cut.loose)
            scales = (ctx.kv_heads, rows, cut.groups)
            planes.append(PlaneShape("q", torch.uint8, (packed_bytes(codes, self.bits),)))
            planes += (PlaneShape(name, torch.float16, scales) for name in ("s", "m"))
        if cut.loose:
            planes.append(PlaneShape("r", torch.float16, (ctx.kv_heads, rows, cut.loose)))
        return tuple(planes)

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Group, subtract, divide, round, pack; values are float32 throughout."""
        rows = _turned(x.float(), ctx.kind)
        cut, planes = _Cut.of(rows.shape[-1], self.group), list[Plane]()
        if cut.groups:
            grouped = rows[..., : rows.shape[-1] - cut.loose]
            step, least = self._scales(grouped, cut)
            codes = (grouped - _spread(least, grouped, cut)) / _spread(step, grouped, cut).clamp_(min=SMALLEST)
            codes = codes.round_().clamp_(0, self._top).to(torch.uint8)
            planes += (Plane("q", pack(codes, self.bits)), Plane("s", step), Plane("m", least))
        if cut.loose:
            planes.append(Plane("r", rows[..., -cut.loose :].to(torch.float16)))
        return tuple(planes)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Multiply, then add."""
        count, numbers = self._axes(ctx)
        cut = _Cut.of(numbers, self.group)
        rows = torch.empty((ctx.kv_heads, count, numbers), device=planes[0].data.device)
        if cut.groups:
            packed, step, least = (plane.data for plane in planes[:3])
            grouped = rows[..., : numbers - cut.loose]
            codes = unpack(packed, self.bits, grouped.numel()).reshape(grouped.shape).float()
            grouped[:] = codes.mul_(_spread(step, grouped, cut)).add_(_spread(least, grouped, cut))
        if cut.loose:
            rows[..., -cut.loose :] = planes[-1].data.float()
        return _turned(rows, ctx.kind).contiguous()

    def error_bound(self, x: Tensor) -> Tensor:
        """Half a step, or half a unit of float16's last place for loose numbers; the larger of keys' and values'."""
        return torch.maximum(*(_turned(self._bound(_turned(x.float(), kind)), kind) for kind in Kind))

    def _bound(self, rows: Tensor) -> Tensor:
        cut = _Cut.of(rows.shape[-1], self.group)
        bound = rows.abs() * 2**-11 + 2**-25
        if cut.groups:
            grouped = rows[..., : rows.shape[-1] - cut.loose]
            bound[..., : grouped.shape[-1]] = _spread(self._scales(grouped, cut)[0], grouped, cut) / 2
        return bound

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1

    def _axes(self, ctx: Context) -> tuple[int, int]:
        """Rows per head, and numbers per row."""
        return (ctx.head_dim, ctx.tokens) if ctx.kind is Kind.KEY else (ctx.tokens, ctx.head_dim)

    def _scales(self, grouped: Tensor, cut: _Cut) -> tuple[Tensor, Tensor]:
        """Step and minimum of each group, float16, ``(kv_heads, rows, groups)``."""
        groups = grouped.split(cut.group, dim=-1)
        # Adding 0 makes -0 to 0: which of the two a minimum picks would depend on the CPU.
        least = _float16_below(torch.stack([group.amin(dim=-1) for group in groups], dim=-1) + 0.0)
        most = torch.stack([group.amax(dim=-1) for group in groups], dim=-1)
        return float16_above((most - least.float()).clamp_(min=0) / self._top), least


def _turned(x: Tensor, kind: Kind) -> Tensor:
    """Numbers that share a group along the last axis; its own inverse."""
    return x.mT if kind is Kind.KEY else x


def _spread(scales: Tensor, grouped: Tensor, cut: _Cut) -> Tensor:
    """Each number's scale, float32, of the shape of ``grouped``."""
    return scales.float().repeat_interleave(cut.group, dim=-1)[..., : grouped.shape[-1]]


def _float16_below(x: Tensor) -> Tensor:
    """The greatest float16 that is not above each element; minus infinity below -65504."""
    nearest = x.to(torch.float16)
    pattern = nearest.view(torch.int16)
    # One bit pattern further is one float further from 0: down for negative numbers, up for positive ones.
    lower = torch.where(pattern < 0, pattern + 1, pattern - 1).to(torch.int16)
    return torch.where(nearest.float() > x, lower, pattern).view(torch.float16)
