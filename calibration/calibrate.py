"""Calibrates ``rd`` for a model: one pass over text, then tables, rates and divergences."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from calibration import measure
from calibration.histograms import TABLES, Histograms, integers
from calibration.moments import SINKS, ZONES, Moments
from calibration.reader import CONTEXT_TOKENS, Layers, Reader
from calibration.transform import Transform, design
from calibration.zones import first_tokens, gains
from codec.calibration import Calibration, serialize
from codec.entropy.rans import SYMBOLS, TOTAL
from codec.entropy.rans_loops import OFFSET
from codec.quantize.base import Context, Kind
from codec.quantize.rd import analyse
from kvwire.models.load import LoadedModel

#: Windows that moments and tables are taken from, and others that only check them.
WINDOWS, CHECKED = 20, 4
_DRAWS = 2
_CLASS_SHIFTS = np.array([-8, 0, 8], np.int16)
_STEPS = np.arange(56, 177, dtype=np.int32)
_TABLE_STEPS = range(64, 177, 12)
_RATE_STEPS = range(56, 177, 8)
_DIVERGENCE_STEPS = range(72, 177, 16)
_LENGTHS = np.array([4, 8, 16, 32, 64, 128, 512], np.int32)
#: Of which position 0 is known.
_FIRST_TOKENS = 512
#: Tokens whose energy is rarer than this are sent precisely; sinks are far outside.
_RARE = 0.001
_SEED = 20261123

Tensors = dict[str, NDArray[Any]]


def calibrate(loaded: LoadedModel, text: str, say: Callable[[str], None]) -> bytes:
    """A calibration file's bytes, from a text that will not be evaluated on.

    Raises:
        InvalidRequestError: The text has too few tokens.
    """
    reader = Reader(loaded)
    pieces = reader.windows(text, WINDOWS + CHECKED)
    apart = range(0, WINDOWS, WINDOWS // CHECKED)
    checked = [reader.read(pieces[at]) for at in apart]
    rest = [piece for at, piece in enumerate(pieces) if at not in apart]
    moments = Moments(len(reader.card.layers), reader.card.kv_heads, reader.card.head_dim)
    generator = torch.Generator().manual_seed(_SEED)
    caches: list[Layers] = []
    for number, piece in enumerate(rest, start=1):
        window = reader.read(piece)
        moments.add(window.layers, reader.gradients(window, _DRAWS, generator))
        caches.append(window.layers)
        say(f"read {number} of {len(rest)} windows")
    binding = reader.card.binding
    transform = design(moments.covariance, moments.sensitivity)
    tensors = untried(moments.mean.float().numpy(), transform)
    tensors["gains"] = gains(moments.sensitivity_by_zone, moments.draws, transform)
    first, largest = first_tokens(reader.first_tokens(text, _FIRST_TOKENS), tensors["gains"], transform)
    tensors |= first
    tensors["energies"][..., 2] = largest

    def now() -> Calibration:
        return Calibration.parse(serialize(binding.id, binding.weights_fingerprint, tensors), "the new calibration")

    tensors["energies"][..., :2] = _bounds(now(), caches)
    tensors |= _tables(now(), caches[::3])
    say("measuring rates and divergences")
    held = [window.layers for window in checked]
    tensors["rates"] = np.stack(
        [
            measure.between(_STEPS, _RATE_STEPS, [measure.rate(now(), step, tokens, held) for step in _RATE_STEPS])
            for tokens in _LENGTHS.tolist()
        ]
    )
    found = [measure.divergence(now(), step, reader, checked) for step in _DIVERGENCE_STEPS]
    tensors["divergences"] = measure.between(_STEPS, _DIVERGENCE_STEPS, found)
    return serialize(binding.id, binding.weights_fingerprint, tensors)


def untried(means: NDArray[np.float32], transform: Transform) -> Tensors:
    """Maps, with tables that carry anything but compress nothing."""
    flat = integers(np.ones(SYMBOLS - 1))
    values = np.append(np.arange(SYMBOLS - 1) - OFFSET, 0).astype(np.float32)
    return {
        "means": means,
        "forward": transform.forward.numpy(),
        "inverse": transform.inverse.numpy(),
        "scales": np.minimum.accumulate(transform.scales, axis=-1),
        "first_means": means,
        "first_scales": np.minimum.accumulate(transform.scales, axis=-1),
        "gains": np.zeros((*means.shape[:3], ZONES), np.int16),
        "energies": np.tile(np.array([0, *[np.finfo(np.float32).max] * 2], np.float32), (*means.shape[:3], 1)),
        "class_shifts": _CLASS_SHIFTS,
        "class_frequencies": np.stack([flat, flat]),
        "frequencies": np.tile(flat, (TABLES, 1)),
        "levels": np.tile(values, (TABLES, 1)),
        "roundings": np.full(TABLES, 0.42, np.float32),
        "steps": _STEPS,
        "lengths": _LENGTHS,
        "rates": np.ones((len(_LENGTHS), len(_STEPS)), np.float32),
        "divergences": np.ones(len(_STEPS), np.float32),
    }


def _halves(calibration: Calibration, caches: Sequence[Layers]) -> Any:
    for layers in caches:
        for index, halves in enumerate(layers):
            for kind, half in zip(Kind, halves, strict=True):
                heads, tokens, dim = half.shape
                ctx = Context(index, kind, heads, tokens, dim, torch.arange(tokens), calibration)
                yield index, int(kind is Kind.VALUE), half, ctx


def _bounds(calibration: Calibration, caches: Sequence[Layers]) -> NDArray[np.float32]:
    """Energies between which ordinary tokens lie."""
    layers, _, heads, _ = calibration.tensors["means"].shape
    found = np.empty((len(caches), layers, 2, heads, CONTEXT_TOKENS - SINKS), np.float32)
    for at, cache in enumerate(caches):
        for index, kind, half, ctx in _halves(calibration, [cache]):
            found[at, index, kind] = analyse(half, ctx, 128).energies[:, SINKS:]
    merged = np.moveaxis(found, 0, -1).reshape(layers, 2, heads, -1)
    low, high = np.quantile(merged, [_RARE, 1 - _RARE], axis=-1).astype(np.float32)
    return np.stack([low, high], axis=-1)


def _tables(calibration: Calibration, caches: Sequence[Layers]) -> Tensors:
    """Distributions of symbols and of classes."""
    histograms = Histograms()
    classes = np.ones((2, 2 * len(_CLASS_SHIFTS) + 1))
    for step in _TABLE_STEPS:
        for _, kind, half, ctx in _halves(calibration, caches):
            analysis = analyse(half, ctx, step)
            histograms.add(analysis)
            classes[kind] += np.bincount(analysis.classes.reshape(-1), minlength=classes.shape[1])
    return {
        "frequencies": histograms.frequencies(),
        "levels": histograms.levels(),
        "roundings": histograms.roundings(),
        "class_frequencies": np.stack([_class_row(row) for row in classes]),
    }


def _class_row(seen: NDArray[np.float64]) -> NDArray[np.int32]:
    row = np.zeros(SYMBOLS, np.int32)
    counts = np.maximum(1, np.floor(seen / seen.sum() * (TOTAL - 1))).astype(np.int32)
    counts[int(seen.argmax())] += TOTAL - 1 - counts.sum()
    row[OFFSET : OFFSET + len(seen)] = counts
    row[-1] = 1
    return row
