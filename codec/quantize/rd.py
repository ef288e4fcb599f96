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
from codec.quantize.rd_plane import CodedPlane, Layout, Plan, is_first
from kvwire.errors import SpecError

#: A coefficient that is not sent may lie this many steps from 0 before its token travels precisely.
_DEAD_LIMIT_STEPS = 3.0
_LIVE_LIMIT_STEPS = 32000.0


@dataclass(frozen=True, eq=False)
class Analysis:
    """A tensor's coefficients ``(heads, tokens, dim)``, its tokens' energies and class symbols ``(heads, tokens)``."""

    layout: Layout
    coefficients: NDArray[np.float32]
    energies: NDArray[np.float32]
    classes: NDArray[np.uint8]
    plan: Plan

    def symbols(self) -> NDArray[np.int16]:
        """The integers to code, in the plan's order."""
        layout, plan = self.layout, self.plan
        symbols = np.empty(plan.symbols, np.int16)
        per_steps = np.float32(1) / layout.steps
        rd_transform.symbols(
            self.coefficients,
            plan.order,
            plan.counts,
            layout.active,
            plan.starts,
            per_steps,
            layout.roundings,
            symbols,
        )
        return symbols


def analyse(x: Tensor, ctx: Context, step: int) -> Analysis:
    """Transform and classify ``x``, float32 and contiguous, for a step number."""
    calibration, half = calibrated(ctx)
    layout, source = Layout(calibration, half, step), x.detach().numpy()
    bounds = half.energies[:, :2]
    z, energies, classes = _classified(source, layout, half.means, half.scales, bounds, layout.zones(ctx))
    if (first := is_first(ctx)[:, 0]).any():  # positions ascend
        bounds = half.energies[:, 2:] * np.array([0, 1], np.float32)
        start, zone = source[:, :1].copy(), np.zeros((len(source), 1), np.int64)
        own_z, own_energies, own = _classified(start, layout, half.first_means, half.first_scales, bounds, zone)
        known = first & (own[:, 0] < layout.classes)
        z[known, 0], energies[known, 0] = own_z[known, 0], own_energies[known, 0]
        after_all = np.where(classes[:, 0] < layout.classes, classes[:, 0] + layout.classes + 1, layout.classes)
        classes[first, 0] = np.where(known, own[:, 0], after_all)[first]
    return Analysis(layout, z, energies, classes, layout.plan(layout.buckets(classes, ctx)))


def _classified(
    x: NDArray[np.float32],
    layout: Layout,
    means: NDArray[np.float32],
    scales: NDArray[np.int64],
    bounds: NDArray[np.float32],
    zones: NDArray[np.int64],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Coefficients, energies and classes of tokens in ``zones``, if these are their means and deviations."""
    # An average token has energy 1.
    weights = np.exp2(scales / -8.0 - np.log2(scales.shape[-1])).astype(np.float32)
    z, energies, classes = np.empty_like(x), np.empty(x.shape[:2], np.float32), np.empty(x.shape[:2], np.uint8)
    rd_transform.coefficients(x, means, layout.half.forward, weights, z, energies)
    dead, live = np.float32(_DEAD_LIMIT_STEPS) * layout.steps, np.float32(_LIVE_LIMIT_STEPS) * layout.steps
    rd_transform.classify(z, energies, bounds, layout.tops, zones, layout.active, dead, live, classes)
    return z, energies, classes


@dataclass(frozen=True)
class Rd(Quantizer):
    """``rd:bits=2``, ``rd:quality=0.02`` or ``rd:step=128``."""

    bits: float = 0.0
    quality: float = 0.0
    step: int = 0

    needs_calibration: ClassVar[bool] = True

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
        coded = CodedPlane.pack(half.layout, half.plan, half.classes, half.symbols(), source, ctx)
        if coded is None:
            raise unrepresentable(x, ctx, type(self).__name__)
        return (Plane("z", coded),)

    def dequantize(self, planes: Planes, ctx: Context) -> Tensor:
        """Decode, look up, transform back."""
        tables, half = calibrated(ctx)
        read = CodedPlane.unpack(planes[0].data, tables, half, ctx)
        out = torch.empty(ctx.shape)
        rd_transform.restore(
            read.levels,
            read.plan.order,
            read.plan.counts,
            read.layout.active,
            read.plan.starts,
            half.inverse,
            np.stack([half.first_means, half.means]),
            read.layout.classes,
            read.layout.steps,
            out.numpy(),
        )
        out[read.plan.precise] = read.precise
        return out

    def error_bound(self, x: Tensor) -> Tensor:
        """Infinite: it depends on the calibration; :meth:`bound` knows."""
        return torch.full((), torch.inf).expand_as(x)

    def bound(self, x: Tensor, ctx: Context) -> Tensor:
        """Upper bound on ``|decoded - x|`` in exact arithmetic under the calibration of ``ctx``, ``x.shape``."""
        tables, half = calibrated(ctx)
        step = float(Layout(tables, half, self.step_for(ctx)).steps.max())
        coded = torch.from_numpy(np.abs(half.inverse).sum(axis=1))[:, None] * (step * _DEAD_LIMIT_STEPS)
        precise = x.float().abs().amax(dim=-1, keepdim=True) / 127
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
