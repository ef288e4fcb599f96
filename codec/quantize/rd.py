"""``rd``: transform coding under calibrated tables; every coefficient has one step, so all errors cost alike.

A calibration gives each layer's keys (before RoPE) and values, per head, a mean and a linear map to coefficients that
are uncorrelated and in which equal errors cost equal KL divergence. One uniform step for all of them is then the best
rate allocation (reverse water-filling): a coefficient whose deviation is far below the step is not sent. Integers are
coded by rANS under the table of their deviation, in steps. A token belongs to a class of energy, which shifts its
tables; a token unlike any in calibration (an attention sink) travels as ``int8``. Parameters, exactly one of them:

- ``bits``: bits per value, whole frames, on calibration text; ``quality``: KL in nats after 512 tokens of such text;
- ``step``: the step itself, 2**((step - 128) / 16) units of the calibration.

Sources: T. Berger, "Rate Distortion Theory", 1971, section 4.5 (reverse water-filling); Goyal, "Theoretical foundations
of transform coding", IEEE SPM 2001; G. Sullivan, IEEE Trans. IT 42(5), 1996 (dead zone). The metric and its use for
caches are ours; see calibration/.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.planes import Plane, Planes, PlaneShape
from codec.quantize import rd_transform
from codec.quantize.base import Context, Quantizer, calibrated, unrepresentable
from codec.quantize.int8 import Int8
from codec.quantize.rd_plane import CodedPlane, Layout, Plan, layout_of, positions_of
from kvwire.errors import SpecError


@dataclass(frozen=True, eq=False)
class Analysis:
    """A tensor's coefficients ``(heads, tokens, padded)``; its tokens' energies, class symbols ``(heads, tokens)``."""

    layout: Layout
    coefficients: NDArray[np.float32]
    energies: NDArray[np.float32]
    classes: NDArray[np.uint8]
    plan: Plan

    def symbols(self) -> NDArray[np.int16]:
        """The integers to code, in the plan's order."""
        plan, symbols = self.plan, np.empty(self.plan.symbols, np.int16)
        rd_transform.symbols(self.coefficients, plan.order, plan.counts, plan.starts, self.layout.maps, symbols)
        return symbols


def analyse(x: Tensor, ctx: Context, step: int) -> Analysis:
    """Transform and classify ``x``, float32 and contiguous, for a step number."""
    layout, positions = layout_of(*calibrated(ctx), step), positions_of(ctx)
    z = np.empty((*positions.shape, layout.half.forward.shape[-1]), np.float32)
    energies, classes = np.empty(positions.shape, np.float32), np.empty(positions.shape, np.uint8)
    rd_transform.analyse(x.detach().numpy(), positions, layout.maps, z, energies, classes)
    return Analysis(layout, z, energies, classes, layout.plan(classes, positions))


@dataclass(frozen=True)
class Rd(Quantizer):
    """``rd:bits=2``, ``rd:quality=0.02`` or ``rd:step=128``."""

    bits: float = 0.0
    quality: float = 0.0
    step: int = 0

    needs_calibration: ClassVar[bool] = True
    on_one_thread: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if [self.bits > 0, self.quality > 0, self.step > 0].count(True) != 1 or self.step > 255:  # noqa: PLR2004  # a byte
            raise SpecError("rd takes one of bits=2.0, quality=0.02 and step=1 to 255")

    def layout(self, ctx: Context) -> tuple[PlaneShape, ...]:  # noqa: ARG002  # the seam's signature
        """One plane ``z`` of bytes; docs/wire-format.md says what is in it."""
        return (PlaneShape("z", torch.uint8, (None,)),)

    def quantize(self, x: Tensor, ctx: Context) -> Planes:
        """Transform, classify, round, code; float32 throughout."""
        source = x.detach().cpu().float().contiguous()
        half = analyse(source, ctx, self.step_for(ctx))
        coded = CodedPlane.pack(half.layout, half.plan, half.classes, half.symbols(), source)
        if coded is None:
            raise unrepresentable(x, ctx, type(self).__name__)
        return (Plane("z", coded),)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Decode, look up, transform back."""
        read = CodedPlane.unpack(planes[0].data, *calibrated(ctx), ctx)
        plan, out = read.plan, np.empty(ctx.shape, np.float32)
        rd_transform.restore(read.levels, plan.order, plan.counts, plan.starts, read.layout.maps, out)
        out[plan.precise[0], plan.precise[1]] = read.precise
        return torch.from_numpy(out)

    def error_bound(self, x: Tensor) -> Tensor:
        """Infinite: it depends on the calibration; :meth:`bound` knows."""
        return torch.full((), torch.inf).expand_as(x)

    def bound(self, x: Tensor, ctx: Context) -> Tensor:
        """Upper bound on ``|decoded - x|`` in exact arithmetic under the calibration of ``ctx``, ``x.shape``."""
        tables, half = calibrated(ctx)
        step = float(layout_of(tables, half, self.step_for(ctx)).maps.steps.max() * rd_transform.DEAD_LIMIT_STEPS)
        coded = torch.from_numpy(np.abs(half.inverse).sum(axis=1))[:, None, : ctx.head_dim] * step
        precise = x.float().abs().amax(dim=-1, keepdim=True) / Int8.top
        return torch.maximum(coded, precise).expand_as(x)

    def step_for(self, ctx: Context) -> int:
        """The step that ``bits``, ``quality`` or ``step`` come to.

        Raises:
            SpecError: The calibration has none.
        """
        tables, _ = calibrated(ctx)
        if self.step:
            return self.step
        return tables.step_for_rate(self.bits, ctx.tokens) if self.bits else tables.step_for_divergence(self.quality)
