"""The bytes of an ``rd`` plane: step, coded words, then the tokens that travel precisely."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.calibration import Calibration, Half
from codec.entropy.rans import Decoder, Encoder
from codec.kernels import eightbit
from codec.kernels.tile import ROWS
from codec.planes import TOKENS_PER_BYTE
from codec.quantize.base import Context
from codec.quantize.int8 import Int8
from codec.quantize.rd_maps import Integers, Maps, lay_out
from kvwire.errors import DataLossError

#: From so many symbols on, eight lanes: 28 bytes more for a decoder four times as fast.
EIGHT_LANES_FROM = 16384
#: 16 log2 of the deviation, in steps, that the first table is for; tables are a quarter octave apart.
_FIRST_TABLE, _TABLE_SPACING = -48, 4
_MIDDLE_STEP = 128


class Plan(NamedTuple):
    """Where the symbols of tokens stand, and which tokens travel precisely; :func:`~codec.quantize.rd_maps.lay_out`."""

    order: Integers
    counts: Integers
    starts: Integers
    tables: Integers
    lengths: Integers
    precise: Integers

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

    @property
    def classes(self) -> int:
        """Of energy."""
        return len(self.calibration.class_shifts)

    @cached_property
    def maps(self) -> Maps:
        """For the loops."""
        half, tables, zones = self.half, self._tables, self.half.gains.shape[-1]
        spare = half.forward.shape[-1] - half.means.shape[-1]
        scales, shifts = np.stack([half.first_scales, half.scales]), self.calibration.class_shifts
        weights = np.exp2(scales / -8.0 - np.log2(scales.shape[-1]))  # an average token has energy 1
        steps = 2.0 ** ((self.number - _MIDDLE_STEP - half.gains) / 16)
        return Maps(
            forward=half.forward,
            inverse=half.inverse,
            means=np.stack([half.first_means, half.means]),
            weights=np.pad(weights, ((0, 0), (0, 0), (0, spare))).astype(np.float32),
            bounds=np.stack([half.energies[:, 2:] * np.array([0, 1], np.float32), half.energies[:, :2]]),
            # Half way to the next class's deviation.
            tops=np.append(2.0 ** ((shifts[:-1] + shifts[1:]) / 16.0), np.inf).astype(np.float32),
            tables=tables,
            active=(tables >= 0).sum(axis=-1),
            steps=np.repeat(steps.astype(np.float32), tables.shape[1] // zones, axis=-1),
            roundings=self.calibration.tensors["roundings"].astype(np.float32)[tables],
        )

    @cached_property
    def _tables(self) -> Integers:
        half, zones = self.half, self.half.gains.shape[-1]
        scales = np.stack([half.first_scales, *[half.scales] * (zones - 1)], axis=1)
        deviations = (scales + half.gains[..., None])[:, :, None, :] + self.calibration.class_shifts[:, None]
        tables = (deviations - (self.number - _MIDDLE_STEP) - _FIRST_TABLE + _TABLE_SPACING // 2) // _TABLE_SPACING
        capped: Integers = np.minimum(tables, len(self.calibration.tables.levels) - 1)
        return capped.reshape(len(scales), -1, scales.shape[-1])

    def plan(self, classes: NDArray[np.uint8], positions: Integers) -> Plan:
        """Lay out the symbols of tokens with these class symbols and positions, both ``(heads, tokens)``."""
        return Plan(*lay_out(classes, positions, self.maps, len(self.calibration.tables.levels)))


@lru_cache(maxsize=1024)
def layout_of(calibration: Calibration, half: Half, number: int) -> Layout:
    """The layout of a model's half of a layer at a step number, kept for the next time."""
    return Layout(calibration, half, number)


@dataclass(frozen=True, eq=False)
class CodedPlane:
    """A plane taken apart: levels of all runs, in steps, padded; the precise tokens, ``(tokens, dim)`` float32."""

    layout: Layout
    plan: Plan
    levels: NDArray[np.float32]
    precise: NDArray[np.float32]

    @staticmethod
    def pack(
        layout: Layout, plan: Plan, classes: NDArray[np.uint8], symbols: NDArray[np.int16], x: Tensor
    ) -> Tensor | None:
        """The plane's bytes, uint8; None if a precise token holds what ``int8`` cannot carry."""
        encoder = Encoder(_lanes(x.numel()), symbols.size + classes.size)
        encoder.write(symbols, layout.calibration.tables, plan.tables, plan.lengths)
        flat = classes.reshape(-1).astype(np.int16)
        encoder.write(flat, layout.half.classes, *_one_run(flat.size))
        precise = x.numpy()[plan.precise[0], plan.precise[1]]
        codes, scales = np.empty(precise.shape, np.int8), np.empty(len(precise), np.float16)
        if precise.size:
            source, *filled = (torch.from_numpy(array) for array in (precise[None], codes, scales))
            eightbit.encode(source, filled[0], filled[1], Int8.top)
        if not np.isfinite(scales).all():
            return None
        words = encoder.finish()
        padding = np.zeros(max(0, -(-classes.size // (2 * TOKENS_PER_BYTE)) - len(words)), np.uint16)
        parts = (np.array([layout.number], np.uint8), words, padding, scales, codes)
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
        layout = layout_of(calibration, half, int(stored[0]))
        lanes = _lanes(ctx.kv_heads * ctx.tokens * ctx.head_dim)
        decoder = Decoder(stored[1 : len(stored) - (len(stored) - 1) % 2].copy().view(np.uint16), lanes, str(ctx))
        positions = positions_of(ctx)
        classes = _read_classes(decoder, layout, positions, ctx)
        plan = layout.plan(classes, positions)
        precise_bytes = plan.precise.shape[1] * (2 + ctx.head_dim)
        coded_bytes = len(stored) - 1 - precise_bytes
        if coded_bytes < 0 or coded_bytes % 2:
            raise DataLossError(f"{ctx}: {len(stored)} bytes, {precise_bytes} of precise tokens expected among them")
        decoder.end_at(coded_bytes // 2)
        levels = decoder.read(calibration.tables, plan.tables, plan.lengths, spare=ROWS)
        decoder.finish(levels)
        return cls(layout, plan, levels, _read_precise(stored[1 + coded_bytes :], ctx))


def _lanes(values: int) -> int:
    return 8 if values >= EIGHT_LANES_FROM else 1


def _one_run(length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.zeros(1, np.int64), np.array([length], np.int64)


def positions_of(ctx: Context) -> Integers:
    """``(heads, tokens)``, ascending."""
    return np.ascontiguousarray(np.broadcast_to(ctx.positions.cpu().numpy(), ctx.shape[:2]))


def _read_classes(decoder: Decoder, layout: Layout, positions: Integers, ctx: Context) -> NDArray[np.uint8]:
    read = decoder.read(layout.half.classes, *_one_run(positions.size)).reshape(positions.shape)
    most = np.where(positions == 0, 2 * layout.classes, layout.classes)
    if not ((read >= 0) & (read <= most)).all():
        raise DataLossError(f"{ctx}: a token class is not among 0 to {most.max()}; wrong tables, or send it again")
    return read.astype(np.uint8)


def _read_precise(stored: NDArray[np.uint8], ctx: Context) -> NDArray[np.float32]:
    count = len(stored) // (2 + ctx.head_dim)
    scales = stored[: 2 * count].copy().view(np.float16)
    if not np.isfinite(scales).all():
        raise DataLossError(f"{ctx}: a precise token has a scale of NaN or infinity, which no encoder writes")
    codes = stored[2 * count :].view(np.int8).reshape(count, ctx.head_dim)
    return codes.astype(np.float32) * scales.astype(np.float32)[:, None]
