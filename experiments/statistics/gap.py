"""How much of the right answers that a context adds arrives through an arm. All arrays: 1 or 0, ``(items,)``."""

from experiments.statistics.bootstrap import Array
from experiments.statistics.gain import Quotient


def gap_closed(none: Array, arm: Array, reads: Array) -> Quotient:
    """``(accuracy_arm - accuracy_none) / (accuracy_reads - accuracy_none)``: 0 without the context, 1 as if read.

    ``none``: the receiver without the context; ``reads``: it reads the context itself. Paired: each resample draws the
    same items for all three. Missing where reading the context does not help for sure.
    """
    return arm - none, reads - none
