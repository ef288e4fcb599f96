"""Which sharer layer each receiver layer takes, by the depth of both models; official checkpoints are trained with one.

Source: thu-nics/C2C at 69eb705, ``rosetta/train/model_utils.py``; arXiv 2510.03215, section 3.3.
"""

from collections.abc import Callable


def last_aligned(targets: int, sources: int) -> tuple[int, ...]:
    """The last layers stand side by side, and so on towards the front."""
    return tuple(max(sources - targets + target, 0) for target in range(targets))


def k_nearest(targets: int, sources: int) -> tuple[int, ...]:
    """The nearest in relative depth, first and last layers of both models side by side: official k_nearest with k of 1.

    Computed in floats as the official code does, because their rounding decides ties.
    """

    def depth(layer: int, layers: int) -> float:
        return layer / (layers - 1) if layers > 1 else 0.0

    def nearest(target: int) -> int:
        here = depth(target, targets)
        return min(range(sources), key=lambda source: abs(depth(source, sources) - here))

    return tuple(nearest(target) for target in range(targets))


MAPPINGS: dict[str, Callable[[int, int], tuple[int, ...]]] = {
    "last_aligned": last_aligned,
    "k_nearest": k_nearest,
}
