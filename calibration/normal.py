"""Normal equations between two models' caches: sums over tokens from which every linear map between them follows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.layer import LayerKV
from fuser.projectors.ridge import Band

#: Tokens whose products are summed in float32 before they join the float64 sums.
_BLOCK = 2048
#: Of the median: a number that never changes says nothing, and must not be magnified when a codec changes it.
_LEAST_SPREAD = 0.01


@dataclass(frozen=True, eq=False)
class Sums:
    """Over ``tokens`` tokens, float64: of x, y, and of the products x x', x y', y squared.

    x and y less ``origin_x`` and ``origin_y``, float32: some keys lie so far from 0 that products would lose the rest.
    """

    tokens: int
    origin_x: Tensor
    origin_y: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor


@dataclass(frozen=True, eq=False)
class Block:
    """Some tokens: ``x`` ``(tokens, features)`` of the sharer, ``y`` ``(tokens, outputs)`` of the receiver."""

    x: Tensor
    y: Tensor


def flat(layers: Sequence[LayerKV]) -> Tensor:
    """``(tokens, layers * 2 * kv_heads * head_dim)``: layer by layer, keys before values, head by head."""
    halves = [half.transpose(0, 1).flatten(1) for kv in layers for half in (kv.keys, kv.values)]
    return torch.cat(halves, dim=1)


def together(blocks: Sequence[Block]) -> Block:
    """The tokens of all blocks."""
    return Block(torch.cat([block.x for block in blocks]), torch.cat([block.y for block in blocks]))


def add_up(blocks: Iterable[Block], features: int, outputs: int) -> Sums:
    """The sums over all blocks, of which there is one at least."""
    x, y, yy = (torch.zeros(size, dtype=torch.float64) for size in (features, outputs, outputs))
    xx = torch.zeros(features, features, dtype=torch.float64)
    xy = torch.zeros(features, outputs, dtype=torch.float64)
    tokens, origin = 0, list[Tensor]()
    for block in _grouped(blocks):
        origin = origin or [block.x.mean(0), block.y.mean(0)]
        block_x, block_y = block.x - origin[0], block.y - origin[1]
        x += block_x.double().sum(0)
        y += block_y.double().sum(0)
        yy += block_y.double().square().sum(0)
        xx += block_x.T @ block_x
        xy += block_x.T @ block_y
        tokens += len(block.x)
    return Sums(tokens, origin[0], origin[1], x, y, xx, xy, yy)


def _grouped(blocks: Iterable[Block]) -> Iterator[Block]:
    """Neighbours together, until they hold enough tokens."""
    waiting: list[Block] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(each.x) for each in waiting) >= _BLOCK:
            yield together(waiting)
            waiting = []
    if waiting:
        yield together(waiting)


@dataclass(frozen=True, eq=False)
class Solution:
    """Tensors of a band, as :class:`~fuser.projectors.ridge.RidgeFuser` names them without its number; float32."""

    mean: Tensor
    spread: Tensor
    down: Tensor
    up: Tensor
    bias: Tensor


def solve(sums: Sums, band: Band, per_layer: int, per_target: int, ridge: float) -> Solution:
    """The best map of the band's rank, every output counting by its share of unexplained variance.

    ``ridge``: what is added to the variance of every feature, which is 1. ``per_layer``, ``per_target``: numbers a
    token has in a sharer's and in a receiver's layer.
    Source: reduced-rank ridge regression, A. Mukherjee and J. Zhu, arXiv 1012.1900, section 2.
    """
    features = columns(band.sources, per_layer)
    outputs = columns(band.targets, per_target)
    mean, target_mean = sums.x[features] / sums.tokens, sums.y[outputs] / sums.tokens
    spread = (sums.xx.diagonal()[features] / sums.tokens - mean.square()).clamp(min=0).sqrt()
    spread = spread.clamp(min=_LEAST_SPREAD * float(spread.median()))
    target_spread = (sums.yy[outputs] / sums.tokens - target_mean.square()).clamp(min=1e-12).sqrt()
    xx = (sums.xx[features][:, features] / sums.tokens - mean[:, None] * mean) / (spread[:, None] * spread)
    xx.diagonal().add_(ridge)
    xy = (sums.xy[features][:, outputs] / sums.tokens - mean[:, None] * target_mean) / (spread[:, None] * target_spread)
    lower = torch.linalg.cholesky(xx)
    # In these coordinates the features are white, so the best directions are the leading ones of what they explain.
    explained = torch.linalg.solve_triangular(lower, xy, upper=False)
    _, directions = torch.linalg.eigh((explained @ explained.T).float())
    chosen = directions[:, -band.rank :].flip(1).double()
    down = torch.linalg.solve_triangular(lower.T, chosen, upper=True).T
    up = (chosen.T @ explained).T * target_spread[:, None]
    mean, target_mean = mean + sums.origin_x[features], target_mean + sums.origin_y[outputs]
    return Solution(*(each.float() for each in (mean, spread, down, up, target_mean)))


def columns(layers: Sequence[int], width: int) -> Tensor:
    """Where the numbers of some layers stand in :func:`flat`."""
    return torch.cat([torch.arange(layer * width, (layer + 1) * width) for layer in layers])
