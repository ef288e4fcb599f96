"""How much of what a context tells a reader arrives through an arm.

All arrays: NLL in nats per token, ``(items,)``. Each gives the two sides of a quotient of sums over items, for
``Bootstrap.ratio``, which is missing where its lower side is not above 0 for sure.
"""

import numpy as np

from experiments.statistics.bootstrap import Array

#: What is summed over items above and below the line.
Quotient = tuple[Array, Array]


def context_gain_retained(none: Array, arm: Array, reads: Array) -> Quotient:
    """``(NLL_none - NLL_arm) / (NLL_none - NLL_reads)``: 0 without the context, 1 as if the receiver had read it.

    ``none``: the receiver without the context; ``reads``: it reads the context itself. An item the arm failed on gains
    nothing. Missing where reading the context does not help for sure.
    """
    return none - np.where(np.isfinite(arm), arm, none), none - reads


def net_context_gain(arm: Array, wrong_arm: Array, own: Array, wrong_own: Array) -> Quotient:
    """``(NLL_wrong,arm - NLL_arm) / (NLL_wrong,own - NLL_own)``: the gain that is of this context and not of any.

    ``wrong``: with another item's context; ``own``: the receiver reads it itself. An item the arm failed on, with
    either context, gains nothing.
    """
    return _gained(arm, wrong_arm), wrong_own - own


def net_gain_kept(arm: Array, wrong_arm: Array, whole: Array, wrong_whole: Array) -> Quotient:
    """Net context gain of an arm over that of the uncompressed cache, ``whole``.

    Missing where the uncompressed cache has no gain for sure.
    """
    return _gained(arm, wrong_arm), _gained(whole, wrong_whole)


def _gained(arm: Array, wrong_arm: Array) -> Array:
    gained = wrong_arm - arm
    return np.where(np.isfinite(gained), gained, 0.0)
