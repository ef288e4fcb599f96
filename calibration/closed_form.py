"""The fuser that follows from what two models made of the same texts, without any training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from calibration.normal import Block, Solution, Sums, add_up, columns, flat, solve, together
from calibration.readings import Files, TextReader, load_pair
from fuser.binding import Pairing, Side
from fuser.projectors.ridge import Band, Openings, RidgeFuser, windows
from kvwire.errors import InvalidRequestError

#: What may be added to the variance of a feature; held-out text decides. 87,000 tokens of English chose the
#: least (2026-11-23).
RIDGES = (0.1, 0.03, 0.01)
_BYTES_PER_WEIGHT = 2


@dataclass(frozen=True, eq=False)
class Solved:
    """A fuser, the ``ridge`` it was solved with, and ``r2`` ``(receiver layers, 2)`` on held-out text, keys first."""

    fuser: RidgeFuser
    ridge: float
    r2: Tensor
    tokens: int


def blocks(sharer: TextReader, receiver: TextReader, files: Sequence[Files]) -> Iterator[Block]:
    """What the files hold, a block each."""
    for each in files:
        pair = load_pair(each)
        yield Block(
            flat(sharer.decoded(pair.sharer.frames))[pair.sources], flat(receiver.decoded(pair.receiver.frames))
        )


def numbers_per_layer(side: TextReader) -> int:
    """Keys and values a token has in one layer."""
    return 2 * side.card.kv_heads * side.card.head_dim


def one_band(sharer: TextReader, receiver: TextReader, megabytes: float) -> list[Band]:
    """All layers from all layers, of the largest rank whose weights take so many megabytes (of 1,000,000 bytes).

    Raises:
        InvalidRequestError: Not even one number per token fits.
    """
    sources, targets = len(sharer.card.layers), len(receiver.card.layers)
    features, outputs = sources * numbers_per_layer(sharer), targets * numbers_per_layer(receiver)
    precise_bytes = 4 * (2 * features + outputs)
    rank = int((megabytes * 1e6 - precise_bytes) / (_BYTES_PER_WEIGHT * (features + outputs)))
    if rank < 1:
        least = (precise_bytes + _BYTES_PER_WEIGHT * (features + outputs)) / 1e6
        raise InvalidRequestError(f"{megabytes} MB hold no fuser for this pair; give it {least:.1f} MB at least")
    return [Band(tuple(range(sources)), tuple(range(targets)), min(rank, features, outputs))]


def window_bands(sharer: TextReader, receiver: TextReader, width: int) -> list[Band]:
    """A band per receiver layer, from so many sharer layers, of full rank."""
    sources, targets = len(sharer.card.layers), len(receiver.card.layers)
    rank = min(min(width, sources) * numbers_per_layer(sharer), numbers_per_layer(receiver))
    return list(windows(sources, targets, width, rank))


def closed_form(
    sharer: TextReader,
    receiver: TextReader,
    bands: Sequence[Band],
    learned: Sequence[Files],
    held_out: Sequence[Files],
    ridges: Sequence[float] = RIDGES,
) -> Solved:
    """Solve for the bands with each ridge and take the one that explains most of the held-out text."""
    widths = numbers_per_layer(sharer), numbers_per_layer(receiver)
    sizes = widths[0] * len(sharer.card.layers), widths[1] * len(receiver.card.layers)
    sums = add_up(blocks(sharer, receiver, learned), *sizes)
    unseen = together(list(blocks(sharer, receiver, held_out)))
    tried = [_tried(sums, bands, widths, ridge, unseen) for ridge in ridges]
    ridge, solutions, r2 = max(tried, key=lambda one: float(one[2].mean()))
    tensors = {
        f"{index}.{name}": tensor for index, solution in enumerate(solutions) for name, tensor in vars(solution).items()
    }
    pairing = Pairing(Side.of(sharer.card), Side.of(receiver.card))
    fuser = RidgeFuser(bands, tensors, pairing, Openings(sharer.opening, receiver.opening))
    return Solved(fuser, ridge, r2, sums.tokens)


def _tried(
    sums: Sums, bands: Sequence[Band], widths: tuple[int, int], ridge: float, unseen: Block
) -> tuple[float, list[Solution], Tensor]:
    solutions = [solve(sums, band, *widths, ridge) for band in bands]
    r2 = torch.zeros(unseen.y.shape[1] // widths[1], 2)
    for band, solution in zip(bands, solutions, strict=True):
        x = (unseen.x[:, columns(band.sources, widths[0])] - solution.mean) / solution.spread
        y = unseen.y[:, columns(band.targets, widths[1])]
        missed = (x @ solution.down.T @ solution.up.T + solution.bias - y).square().mean(0)
        halves = (len(band.targets), 2, -1)
        r2[list(band.targets)] = 1 - missed.view(halves).sum(-1) / y.var(0, correction=0).view(halves).sum(-1)
    return ridge, solutions, r2
