"""Tables calibrated for one model, as a file of safetensors; ``rd`` needs them. docs/wire-format.md is normative.

======================  ======================================  ======================================================
tensor                  shape, type                             meaning
======================  ======================================  ======================================================
``means``               (layers, 2, heads, dim) float32         subtracted first; axis 1: keys, values
``forward``             (layers, 2, heads, dim, dim) float32    row vector times matrix: decorrelated coefficients
``inverse``             (layers, 2, heads, dim, dim) float32    and back
``scales``              (layers, 2, heads, dim) int16           16 log2 of a coefficient's deviation, not increasing
``first_means``         (layers, 2, heads, dim) float32         the same of the token at position 0
``first_scales``        (layers, 2, heads, dim) int16           the same of the token at position 0
``gains``               (layers, 2, heads, zones) int16         16 log2 of how much finer a zone's step is
``energies``            (layers, 2, heads, 3) float32           least, largest of a token that is coded; of position 0
``class_shifts``        (classes,) int16                        16 log2 of a token class's deviation, relative
``class_frequencies``   (2, 256) int32                          of keys' and values' classes
``frequencies``         (tables, 256) int32                     of symbols; see ``codec.entropy.rans``
``levels``              (tables, 256) float32                   what a symbol stands for, in steps
``roundings``           (tables,) float32                       encoders add it to a magnitude, in steps, and cut
``steps``               (steps,) int32                          for which the following were measured, ascending
``lengths``             (lengths,) int32                        contexts' tokens, ascending
``rates``               (lengths, steps) float32                bits per value, whole frames
``divergences``         (steps,) float32                        KL in nats after 512 tokens
======================  ======================================  ======================================================

Metadata: ``kvwire``, JSON of ``format``, ``version``, ``model``, ``weights`` (SHA-256 of the model's weights).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from codec.entropy.rans import SYMBOLS, TOTAL, Tables
from codec.kernels.tile import WIDTH
from kvwire.errors import BindingError, NotFoundError, SpecError

FORMAT, VERSION = "kvwire calibration", "2"
_Array = NDArray[np.generic]

#: Tensor -> its axes, of one size wherever they have one name, and the kind of its numbers.
_SHAPES: dict[str, tuple[tuple[str | int, ...], str]] = {
    "means": (("layers", 2, "heads", "dim"), "f"),
    "forward": (("layers", 2, "heads", "dim", "dim"), "f"),
    "inverse": (("layers", 2, "heads", "dim", "dim"), "f"),
    "scales": (("layers", 2, "heads", "dim"), "i"),
    "first_means": (("layers", 2, "heads", "dim"), "f"),
    "first_scales": (("layers", 2, "heads", "dim"), "i"),
    "gains": (("layers", 2, "heads", "zones"), "i"),
    "energies": (("layers", 2, "heads", 3), "f"),
    "class_shifts": (("classes",), "i"),
    "class_frequencies": ((2, SYMBOLS), "i"),
    "frequencies": (("tables", SYMBOLS), "i"),
    "levels": (("tables", SYMBOLS), "f"),
    "roundings": (("tables",), "f"),
    "steps": (("steps",), "i"),
    "lengths": (("lengths",), "i"),
    "rates": (("lengths", "steps"), "f"),
    "divergences": (("steps",), "f"),
}
#: First tokens, and others.
_LEAST_ZONES = 2


@dataclass(frozen=True, eq=False)
class Half:
    """What is known of a layer's keys, or of its values; shapes as the module says, without the first two axes.

    The columns of ``forward`` and ``inverse`` are padded to whole tiles, with zeros.
    """

    means: NDArray[np.float32]
    first_means: NDArray[np.float32]
    forward: NDArray[np.float32]
    inverse: NDArray[np.float32]
    energies: NDArray[np.float32]
    scales: NDArray[np.int64]
    first_scales: NDArray[np.int64]
    gains: NDArray[np.int64]
    classes: Tables


@dataclass(frozen=True, eq=False)
class Calibration:
    """One model's tables. ``digest`` is the SHA-256 of their file; ``weights`` that of the model's weights."""

    model: str
    weights: bytes
    digest: bytes
    tensors: Mapping[str, _Array]

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read a file.

        Raises:
            NotFoundError: It is not there.
            BindingError: It is no calibration of this version.
        """
        try:
            return cls.parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise NotFoundError(f"{path} is not there; make it with: kvwire codec calibrate MODEL") from None

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Calibration":
        """Check and take apart a file's bytes; ``name`` is for errors.

        Raises:
            BindingError: They are no calibration of this version.
        """
        try:
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            metadata, tensors = dict(json.loads(header["__metadata__"]["kvwire"])), load_tensors(data)
            said = (metadata["format"], metadata["version"])
            weights = bytes.fromhex(metadata["weights"])
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise BindingError(f"{name} is no calibration ({error!r}); make it again: kvwire codec calibrate") from None
        if said != (FORMAT, VERSION):
            raise BindingError(f"{name} is {said[0]!r} version {said[1]}, this build reads {VERSION}; make it again")
        if fault := _fault(tensors):
            raise BindingError(f"{name} is damaged: {fault}; make it again: kvwire codec calibrate")
        return cls(metadata.get("model", ""), weights, hashlib.sha256(data).digest(), tensors)

    @cached_property
    def tables(self) -> Tables:
        """Of coefficients' symbols."""
        return Tables.of(self.tensors["frequencies"].astype(np.uint32), self.tensors["levels"].astype(np.float32))

    @cached_property
    def class_shifts(self) -> NDArray[np.int64]:
        """``(classes,)``, ascending."""
        return self.tensors["class_shifts"].astype(np.int64)

    def half(self, layer: int, values: bool, kv_heads: int, head_dim: int) -> Half:  # noqa: FBT001  # axis 1 of tensors
        """What is known of a layer's keys or values.

        Raises:
            BindingError: The calibrated model has no such layer, or other heads.
        """
        layers, _, heads, dim = self.tensors["means"].shape
        if layer >= layers or (kv_heads, head_dim) != (heads, dim):
            raise BindingError(
                f"layer {layer} with {kv_heads} heads of {head_dim}: the calibration is of {self.model}, with {layers} "
                f"layers, {heads} heads of {dim}; calibrate this model: kvwire codec calibrate"
            )
        key = (layer, int(values))
        return self._halves.get(key) or self._halves.setdefault(key, self._half(*key))

    def step_for_rate(self, bits_per_value: float, tokens: int) -> int:
        """The step at which a context of so many tokens takes about so many bits per value.

        Raises:
            SpecError: No step does.
        """
        lengths = np.log2(self.tensors["lengths"].astype(np.float64))
        rates = self.tensors["rates"].astype(np.float64)
        here = [float(np.interp(np.log2(tokens), lengths, column)) for column in rates.T]
        if not min(here) <= bits_per_value <= max(here):
            raise SpecError(
                f"rd:bits={bits_per_value}: {self.model} is calibrated for {min(here):.2f} to {max(here):.2f} bits "
                f"per value at {tokens} tokens"
            )
        return int(self.tensors["steps"][np.abs(np.array(here) - bits_per_value).argmin()])

    def step_for_divergence(self, nats: float) -> int:
        """The largest step whose KL divergence on calibration text is at most so many nats.

        Raises:
            SpecError: No step's is.
        """
        within = self.tensors["divergences"].astype(np.float64) <= nats
        if not within.any():
            least = float(self.tensors["divergences"].astype(np.float64).min())
            raise SpecError(f"rd:quality={nats}: {self.model} is calibrated for a KL of {least:.4f} or more")
        return int(self.tensors["steps"][within].max())

    @cached_property
    def _halves(self) -> dict[tuple[int, int], Half]:
        return {}

    def _half(self, layer: int, kind: int) -> Half:
        means, first_means, forward, inverse, energies = (
            self.tensors[name][layer, kind].astype(np.float32)
            for name in ("means", "first_means", "forward", "inverse", "energies")
        )
        scales, first_scales, gains = (
            self.tensors[name][layer, kind].astype(np.int64) for name in ("scales", "first_scales", "gains")
        )
        spare = ((0, 0), (0, 0), (0, -means.shape[-1] % WIDTH))
        forward, inverse = np.pad(forward, spare), np.pad(inverse, spare)
        classes = self._classes[kind]
        return Half(means, first_means, forward, inverse, energies, scales, first_scales, gains, classes)

    @cached_property
    def _classes(self) -> tuple[Tables, Tables]:
        each = self.tensors["class_frequencies"].astype(np.uint32)
        values = np.arange(SYMBOLS, dtype=np.float32)[None] - 127
        return Tables.of(each[:1], values), Tables.of(each[1:], values)


def serialize(model: str, weights: bytes, tensors: Mapping[str, _Array]) -> bytes:
    """A calibration file's bytes; equal arguments give equal bytes."""
    about = {"format": FORMAT, "version": VERSION, "model": model, "weights": weights.hex()}
    metadata = {"kvwire": json.dumps(about, sort_keys=True)}  # one entry: safetensors writes several in any order
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return save_tensors(contiguous, metadata)


def _fault(tensors: Mapping[str, _Array]) -> str | None:
    sizes: dict[str, int] = {}
    for name, (axes, kind) in _SHAPES.items():
        tensor = tensors.get(name)
        if tensor is None:
            return f"{name} is missing"
        if tensor.ndim != len(axes) or tensor.dtype.kind != kind:
            return f"{name} is {tensor.dtype} {tensor.shape}"
        for axis, size in zip(axes, tensor.shape, strict=True):
            if size == 0 or size != (axis if isinstance(axis, int) else sizes.setdefault(axis, size)):
                return f"{name} is of shape {tensor.shape}, which does not go with the others"
        if not np.isfinite(tensor).all():
            return f"{name} holds NaN or infinity"
    if sizes["zones"] < _LEAST_ZONES:
        return f"gains are of {sizes['zones']} zones"
    return _table_fault(tensors)


def _table_fault(tensors: Mapping[str, _Array]) -> str | None:
    for name in ("frequencies", "class_frequencies"):
        counts = tensors[name].astype(np.int64)
        if (counts < 0).any() or (counts.sum(axis=1) != TOTAL).any() or (counts[:, -1] < 1).any():
            return f"a row of {name} does not sum to {TOTAL} with an escape"
    for name in ("scales", "first_scales"):
        if (np.diff(tensors[name].astype(np.int64), axis=-1) > 0).any():
            return f"{name} increase"
    return None


def file_name(weights: bytes) -> str:
    """Where a folder of calibrations keeps that of the model with these weights (SHA-256)."""
    return f"{weights.hex()[:16]}.safetensors"
