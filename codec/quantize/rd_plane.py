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
    """Where the symbols of given classes stand.

    order: ``(heads, tokens)``, tokens sorted by class; counts: ``(heads, classes)``; tables and lengths: of each run.
    precise: heads and tokens, as indices, that travel as ``int8``, in the order of ``order``.
    """

    order: NDArray[np.int64]
    counts: NDArray[np.int64]
    tables: NDArray[np.int64]
    lengths: NDArray[np.int64]
    precise: tuple[Tensor, Tensor]

    @property
    def symbols(self) -> int:
        """Of all runs."""
        return int(self.lengths.sum())


@dataclass(frozen=True, eq=False)
class Layout:
    """What a calibration and a step number determine, whatever the tokens."""

    calibration: Calibration
    half: Half
    number: int

    @cached_property
    def step(self) -> np.float32:
        """In units of the calibration."""
        return np.float32(2.0 ** ((self.number - _MIDDLE_STEP) / 16))

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """``(heads, dim)``: 1 / (dim x deviation squared), so that an average token has energy 1."""
        weights: NDArray[np.float32] = (2.0 ** (self.half.scales / -8.0) / self.half.scales.shape[-1]).astype(
            np.float32
        )
        return weights

    @cached_property
    def tops(self) -> NDArray[np.float32]:
        """``(classes,)``: the energy at which the next class begins, half way to its deviation."""
        shifts = self.calibration.class_shifts
        return np.append(2.0 ** ((shifts[:-1] + shifts[1:]) / 16.0), np.inf).astype(np.float32)

    @cached_property
    def tables(self) -> NDArray[np.int64]:
        """``(heads, classes, dim)``: the table of each coefficient; negative if it is not sent."""
        deviations = (
            self.half.scales[:, None, :] + self.calibration.class_shifts[:, None] - (self.number - _MIDDLE_STEP)
        )
        tables = (deviations - _FIRST_TABLE + _TABLE_SPACING // 2) // _TABLE_SPACING
        capped: NDArray[np.int64] = np.minimum(tables, len(self.calibration.tables.levels) - 1)
        return capped

    @cached_property
    def active(self) -> NDArray[np.int64]:
        """``(heads, classes)``: how many coefficients are sent; they come first."""
        active: NDArray[np.int64] = (self.tables >= 0).sum(axis=-1)
        return active

    def plan(self, classes: NDArray[np.uint8]) -> Plan:
        """Lay out the symbols of tokens of these classes, ``(heads, tokens)``."""
        kinds = self.active.shape[1]
        order = np.argsort(classes, axis=1, kind="stable")
        counts = (classes[:, None, :] == np.arange(kinds)[:, None]).sum(axis=-1)
        sent = (self.tables >= 0) & (counts > 0)[..., None]
        lengths = np.broadcast_to(counts[..., None], sent.shape)[sent]
        coded = counts.sum(axis=1)
        precise = [(h, t) for h, row in enumerate(order) for t in row[coded[h] :]]
        heads, tokens = (torch.tensor([at[i] for at in precise], dtype=torch.int64) for i in (0, 1))
        return Plan(order, counts, self.tables[sent], lengths.astype(np.int64), (heads, tokens))


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
        plan = layout.plan(classes)
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
    read = decoder.read(layout.half.classes, *_one_run(ctx.kv_heads * ctx.tokens))
    kinds = len(layout.calibration.class_shifts)
    if (read < 0).any() or (read > kinds).any():
        raise DataLossError(f"{ctx}: a token class is not among 0 to {kinds}; wrong tables, or send the frame again")
    return read.astype(np.uint8).reshape(ctx.kv_heads, ctx.tokens)


def _read_precise(stored: NDArray[np.uint8], ctx: Context) -> Tensor:
    count = len(stored) // (2 + ctx.head_dim)
    scales = torch.from_numpy(stored[: 2 * count].copy().view(np.float16)).reshape(count, 1, 1)
    codes = torch.from_numpy(stored[2 * count :].copy().view(np.int8)).reshape(count, 1, ctx.head_dim)
    if not Plane("s", scales).finite():
        raise DataLossError(f"{ctx}: a precise token has a scale of NaN or infinity, which no encoder writes")
    return codes[:, 0].float() * scales[:, 0].float()
