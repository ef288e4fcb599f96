"""Planes: the named, typed byte arrays that a quantizer makes and a frame carries."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.kernels.finite import finite
from codec.kernels.memory import in_main_memory
from kvwire.errors import DataLossError

#: A frame is at least as long as its tokens of all heads over this, so that a short one cannot claim much memory.
TOKENS_PER_BYTE = 8

#: Exponent and fraction of E4M3, all ones: its only NaN; it has no infinity.
_E4M3_NAN = 0x7F


@dataclass(frozen=True, eq=False)
class Plane:
    """One named array, of any shape. Its wire form is its elements in row-major order, little-endian.

    ``group``: which of the layer's groups of heads it belongs to; quantizers leave that at 0.
    """

    name: str
    data: Tensor
    group: int = 0

    @property
    def nbytes(self) -> int:
        """Length on the wire, in bytes."""
        return self.data.numel() * self.data.element_size()

    def finite(self) -> bool:
        """Whether no element is NaN or infinite; planes of integers always are finite."""
        if not self.data.is_floating_point() or self.data.numel() == 0:
            return True
        if in_main_memory(self.data):
            return finite(self.data)
        if self.data.dtype == torch.float8_e4m3fn:
            return bool((self.data.view(torch.uint8) & _E4M3_NAN).amax() < _E4M3_NAN)
        low, high = torch.aminmax(self.data)  # one pass at memory speed; isfinite().all() is ten times slower
        return bool(torch.isfinite(low) & torch.isfinite(high))


Planes = tuple[Plane, ...]


def nbytes(planes: Planes) -> int:
    """Length of all planes on the wire, in bytes."""
    return sum(plane.nbytes for plane in planes)


@dataclass(frozen=True)
class PlaneShape:
    """What a quantizer expects of one plane; a dimension of None is decided by the data, an optional plane too."""

    name: str
    dtype: torch.dtype
    dims: tuple[int | None, ...]
    optional: bool = False

    def fits(self, plane: Plane) -> bool:
        """Whether the plane has this name, dtype and shape."""
        dims = tuple(plane.data.shape)
        return (
            plane.name == self.name
            and plane.data.dtype == self.dtype
            and len(dims) == len(self.dims)
            and all(want in (None, got) for want, got in zip(self.dims, dims, strict=True))
        )


def empty_planes(layout: tuple[PlaneShape, ...]) -> Planes:
    """Planes to be filled, in main memory; no dimension of the layout may be open."""
    return tuple(Plane(want.name, torch.empty([dim or 0 for dim in want.dims], dtype=want.dtype)) for want in layout)


def check_planes(planes: Planes, layout: tuple[PlaneShape, ...], owner: str) -> None:
    """Refuse planes that are not as laid out, before anything is computed from them.

    Raises:
        DataLossError: A plane is missing, surplus, of another name, dtype or shape, or has NaN or infinite elements.
    """
    names = {plane.name for plane in planes}
    layout = tuple(shape for shape in layout if not shape.optional or shape.name in names)
    if len(planes) != len(layout) or not all(want.fits(got) for want, got in zip(layout, planes, strict=True)):
        want = ", ".join(_said(shape.name, shape.dtype, shape.dims) for shape in layout)
        got = ", ".join(_said(plane.name, plane.data.dtype, tuple(plane.data.shape)) for plane in planes)
        raise DataLossError(f"{owner}: planes {want} expected, {got or 'none'} arrived; send the frame again")
    for plane in planes:
        if not plane.finite():
            raise DataLossError(f"{owner}: plane {plane.name!r} holds NaN or infinity, which no encoder writes")


def _said(name: str, dtype: torch.dtype, dims: tuple[int | None, ...]) -> str:
    shape = "x".join("?" if dim is None else str(dim) for dim in dims)
    return f"{name}:{str(dtype).removeprefix('torch.')}[{shape}]"
