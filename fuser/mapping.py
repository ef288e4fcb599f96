"""Which sharer layers a receiver layer takes, by the depth of both models.

Both rules give ``k`` layers, the preferred one first; official checkpoints are trained with one.
Source: thu-nics/C2C at 69eb705, ``rosetta/train/model_utils.py``; arXiv 2510.03215, section 3.3.
"""

from collections.abc import Callable


def last_aligned(targets: int, sources: int, k: int = 1) -> tuple[tuple[int, ...], ...]:
    """The last layers stand side by side, and so on towards the front; then earlier ones, then later ones."""

    def chosen(target: int) -> tuple[int, ...]:
        anchor = min(max(sources - targets + target, 0), sources - 1)
        return (*range(anchor, -1, -1), *range(anchor + 1, sources))[:k]

    return tuple(chosen(target) for target in range(targets))


def k_nearest(targets: int, sources: int, k: int = 1) -> tuple[tuple[int, ...], ...]:
    """The nearest in relative depth, first and last layers of both models side by side.

    Computed in floats as the official code does, because their rounding decides ties.
    """

    def depth(layer: int, layers: int) -> float:
        return layer / (layers - 1) if layers > 1 else 0.0

    def chosen(target: int) -> tuple[int, ...]:
        here = depth(target, targets)
        return tuple(sorted(range(sources), key=lambda source: abs(depth(source, sources) - here))[:k])

    return tuple(chosen(target) for target in range(targets))


MAPPINGS: dict[str, Callable[[int, int], tuple[tuple[int, ...], ...]]] = {
    "last_aligned": last_aligned,
    "k_nearest": k_nearest,
}
