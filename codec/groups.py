"""Which heads of a layer's keys or values share a base: what ``mix=`` says, resolved for one layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.bases import Base
from codec.mix import Part
from codec.quantize.base import Kind
from codec.spec import CodecSpec


@dataclass(frozen=True)
class HeadGroup:
    """Heads, ascending, that one base codes together; groups of a layer stand in the order of their first heads."""

    heads: tuple[int, ...]
    base: Base

    def take(self, x: Tensor) -> Tensor:
        """The group's rows of a tensor whose first dimension is heads; the tensor itself if that is all of them."""
        return x if len(self.heads) == x.shape[0] else x[list(self.heads)]


def head_groups(spec: CodecSpec, layer: int, kind: Kind, kv_heads: int) -> tuple[HeadGroup, ...]:
    """Every head once. A part's range may reach beyond the layer's heads, or miss it altogether.

    The heads of one part are one group; those that no part covers are one too, and take the leading base.
    """
    owners: dict[Part | None, list[int]] = {}
    parts = [part for part in spec.mix if _covers(part, layer, kind)]
    for head in range(kv_heads):
        owner = next((part for part in parts if part.heads is None or _within(head, part.heads)), None)
        owners.setdefault(owner, []).append(head)
    return tuple(HeadGroup(tuple(heads), part.base if part else spec.base) for part, heads in owners.items())


def join(parts: list[Tensor], groups: tuple[HeadGroup, ...]) -> Tensor:
    """Groups' tensors, heads first, put back in the order of heads; the inverse of :meth:`HeadGroup.take`."""
    if len(parts) == 1:
        return parts[0]
    order = torch.tensor([head for group in groups for head in group.heads])
    return torch.cat(parts)[order.argsort()]


def _covers(part: Part, layer: int, kind: Kind) -> bool:
    return part.kind in {None, kind} and (part.layers is None or _within(layer, part.layers))


def _within(index: int, ends: tuple[int, int]) -> bool:
    return ends[0] <= index <= ends[1]
