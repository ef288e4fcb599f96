"""The bytes of an ``rd`` plane: step, coded words, then the tokens that travel precisely."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.calibration import Calibration, Half
from codec.entropy.rans import Decoder, Encoder
from codec.planes import TOKENS_PER_BYTE, Plane
from codec.quantize.base import Context
from codec.quantize.int8 import Int8
from kvwire.errors import DataLossError

#: From so many symbols on, eight lanes: 28 bytes more for a decoder four times as fast.
EIGHT_LANES_FROM = 16384
#: 16 log2 of the deviation, in steps, that the first table is for; tables are a quarter octave apart.
_FIRST_TABLE, _TABLE_SPACING = -48, 4
_MIDDLE_STEP = 128
_INT8 = Int8()


@dataclass(frozen=True, eq=False)
class Plan:
    """Where the symbols of tokens in given buckets stand.

    order: ``(heads, tokens)``, tokens sorted by bucket; counts: ``(heads, buckets)``; starts: ``(heads, buckets, dim)``,
    the first symbol of each coefficient. tables and lengths: of each run.
    precise: heads and tokens, as indices, that travel as ``int8``, in the order of ``order``.
    """

    order: NDArray[np.int64]
    counts: NDArray[np.int64]
    starts: NDArray[np.int64]
    tables: NDArray[np.int64]
    lengths: NDArray[np.int64]
    precise: tuple[Tensor, Tensor]

    @property
    def symbols(self) -> int:
        """Of all runs."""
        return int(self.lengths.sum())


@dataclass(frozen=True, eq=False)
class Layout:
    """What a calibration and a step number determine, whatever the tokens.

    A bucket is a zone and a class: zone x classes + class. Zone 0 is position 0, zone 1 + k the tokens less than 2**k
    before the last, and not less than half that.
    """

    calibration: Calibration
    half: Half
    number: int

    @property
    def classes(self) -> int:
        """Of energy."""
        return len(self.calibration.class_shifts)

    @cached_property
    def steps(self) -> NDArray[np.float32]:
        """``(heads, buckets)``: in units of the calibration."""
        steps = 2.0 ** ((self.number - _MIDDLE_STEP - self.half.gains) / 16)
        return np.repeat(steps.astype(np.float32), self.classes, axis=-1)

    @cached_property
    def tops(self) -> NDArray[np.float32]:
        """``(classes,)``: the energy at which the next class begins, half way to its deviation."""
        shifts = self.calibration.class_shifts
        return np.append(2.0 ** ((shifts[:-1] + shifts[1:]) / 16.0), np.inf).astype(np.float32)

    @cached_property
    def tables(self) -> NDArray[np.int64]:
        """``(heads, buckets, dim)``: the table of each coefficient; negative if it is not sent."""
        half, zones = self.half, self.half.gains.shape[-1]
        scales = np.stack([half.first_scales, *[half.scales] * (zones - 1)], axis=1)
        deviations = (scales + half.gains[..., None])[:, :, None, :] + self.calibration.class_shifts[:, None]
        tables = (deviations - (self.number - _MIDDLE_STEP) - _FIRST_TABLE + _TABLE_SPACING // 2) // _TABLE_SPACING
        capped: NDArray[np.int64] = np.minimum(tables, len(self.calibration.tables.levels) - 1)
        return capped.reshape(len(scales), -1, scales.shape[-1])

    @cached_property
    def roundings(self) -> NDArray[np.float32]:
        """``(heads, buckets, dim)``: what an encoder adds to a magnitude, in steps, before it cuts."""
        roundings: NDArray[np.float32] = self.calibration.tensors["roundings"].astype(np.float32)[self.tables]
        return roundings

    @cached_property
    def active(self) -> NDArray[np.int64]:
        """``(heads, buckets)``: how many coefficients are sent; they come first."""
        active: NDArray[np.int64] = (self.tables >= 0).sum(axis=-1)
        return active

    def zones(self, ctx: Context) -> NDArray[np.int64]:
        """``(heads, tokens)``: where tokens stand, position 0 among the others."""
        positions = ctx.positions.cpu().numpy()
        before_last = positions.max() - positions
        zones = 1 + np.frexp(before_last.astype(np.float64))[1].astype(np.int64)
        capped = np.minimum(zones, self.half.gains.shape[-1] - 1)
        return np.broadcast_to(capped, ctx.shape[:2])

    def buckets(self, symbols: NDArray[np.uint8], ctx: Context) -> NDArray[np.int64]:
        """``(heads, tokens)`` buckets of tokens with these class symbols; one too many for those that are precise."""
        precise, first = symbols == self.classes, is_first(ctx)
        classes = np.where(symbols > self.classes, symbols.astype(np.int64) - self.classes - 1, symbols)
        zones = np.where(first & (symbols < self.classes), 0, self.zones(ctx))
        return np.where(precise, self.active.shape[1], zones * self.classes + classes)

    def plan(self, buckets: NDArray[np.int64]) -> Plan:
        """Lay out the symbols of tokens in these buckets, ``(heads, tokens)``."""
        every = self.active.shape[1]
        order = np.argsort(buckets, axis=1, kind="stable")
        counts = (buckets[:, None, :] == np.arange(every)[:, None]).sum(axis=-1)
        sent = np.flatnonzero((self.tables >= 0) & (counts > 0)[..., None])
        dim = self.tables.shape[-1]
        tables, lengths = self.tables.reshape(-1)[sent], counts.reshape(-1)[sent // dim]
        by_table = np.argsort(tables, kind="stable")
        starts = np.full(self.tables.size, -1)
        starts[sent[by_table]] = np.cumsum(lengths[by_table]) - lengths[by_table]
        runs = np.bincount(tables, weights=lengths).astype(np.int64)
        used = np.flatnonzero(runs)
        coded = counts.sum(axis=1)
        precise = [(h, t) for h, row in enumerate(order) for t in row[coded[h] :]]
        where = tuple(torch.tensor([at[i] for at in precise], dtype=torch.int64) for i in (0, 1))
        return Plan(order, counts, starts.reshape(self.tables.shape), used, runs[used], (where[0], where[1]))


def is_first(ctx: Context) -> NDArray[np.bool_]:
    """``(heads, tokens)``: whether a token is at position 0."""
    return np.broadcast_to(ctx.positions.cpu().numpy() == 0, ctx.shape[:2])


@dataclass(frozen=True, eq=False)
class CodedPlane:
    """A plane taken apart: levels of all runs, in steps, and the precise tokens, ``(tokens, dim)`` float32."""

    layout: Layout
    plan: Plan
    levels: NDArray[np.float32]
    precise: Tensor

    @staticmethod
    def pack(
        layout: Layout, plan: Plan, classes: NDArray[np.uint8], symbols: NDArray[np.int16], x: Tensor, ctx: Context
    ) -> Tensor | None:
        """The plane's bytes, uint8; None if a precise token holds what ``int8`` cannot carry."""
        encoder = Encoder(_lanes(x.numel()), symbols.size + classes.size)
        encoder.write(symbols, layout.calibration.tables, plan.tables, plan.lengths)
        flat = classes.reshape(-1).astype(np.int16)
        encoder.write(flat, layout.half.classes, *_one_run(flat.size))
        precise = x[plan.precise][None]
        codes, scales = _INT8.quantize(precise, replace(ctx, kv_heads=1, tokens=precise.shape[1]))
        if not scales.finite():
            return None
        words = encoder.finish()
        padding = np.zeros(max(0, -(-classes.size // (2 * TOKENS_PER_BYTE)) - len(words)), np.uint16)
        parts = (np.array([layout.number], np.uint8), words, padding, scales.data.numpy(), codes.data.numpy())
        return torch.from_numpy(np.concatenate([part.reshape(-1).view(np.uint8) for part in parts]))

    @classmethod
    def unpack(cls, data: Tensor, calibration: Calibration, half: Half, ctx: Context) -> "CodedPlane":
        """Read a plane of ``ctx.shape``.

        Raises:
            DataLossError: No encoder writes these bytes under these tables.
        """
        stored = data.cpu().contiguous().numpy()
        if len(stored) == 0:
            raise DataLossError(f"{ctx}: plane 'z' is empty, a step was expected; send the frame again")
        layout = Layout(calibration, half, int(stored[0]))
        lanes = _lanes(ctx.kv_heads * ctx.tokens * ctx.head_dim)
        words = stored[1 : len(stored) - (len(stored) - 1) % 2].copy().view(np.uint16)
        classes = _read_classes(Decoder(words, lanes, str(ctx)), layout, ctx)
        plan = layout.plan(layout.buckets(classes, ctx))
        precise_bytes = len(plan.precise[0]) * (2 + ctx.head_dim)
        coded_bytes = len(stored) - 1 - precise_bytes
        if coded_bytes < 0 or coded_bytes % 2:
            raise DataLossError(f"{ctx}: {len(stored)} bytes, {precise_bytes} of precise tokens expected among them")
        decoder = Decoder(stored[1 : 1 + coded_bytes].copy().view(np.uint16), lanes, str(ctx))
        decoder.read(half.classes, *_one_run(classes.size))
        levels = decoder.read(calibration.tables, plan.tables, plan.lengths)
        decoder.finish()
        return cls(layout, plan, levels, _read_precise(stored[1 + coded_bytes :], ctx))


def _lanes(values: int) -> int:
    return 8 if values >= EIGHT_LANES_FROM else 1


def _one_run(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros(1, np.int64), np.array([length], np.int64)


def _read_classes(decoder: Decoder, layout: Layout, ctx: Context) -> NDArray[np.uint8]:
    read = decoder.read(layout.half.classes, *_one_run(ctx.kv_heads * ctx.tokens)).reshape(ctx.shape[:2])
    most = np.where(is_first(ctx), 2 * layout.classes, layout.classes)
    if (read < 0).any() or (read > most).any():
        raise DataLossError(f"{ctx}: a token class is not among 0 to {most.max()}; wrong tables, or send it again")
    return read.astype(np.uint8)


def _read_precise(stored: NDArray[np.uint8], ctx: Context) -> Tensor:
    count = len(stored) // (2 + ctx.head_dim)
    scales = torch.from_numpy(stored[: 2 * count].copy().view(np.float16)).reshape(count, 1, 1)
    codes = torch.from_numpy(stored[2 * count :].copy().view(np.int8)).reshape(count, 1, ctx.head_dim)
    if not Plane("s", scales).finite():
        raise DataLossError(f"{ctx}: a precise token has a scale of NaN or infinity, which no encoder writes")
    return codes[:, 0].float() * scales[:, 0].float()
