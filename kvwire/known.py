"""What was there of a context that a sharer was asked for, as its stream tells."""

from collections.abc import Sequence
from enum import IntEnum

from kvwire.report import StageTiming


class Known(IntEnum):
    """Nothing; the sharer's layers; its frames, as it had sent them; or all of it, placed at the receiver."""

    NOTHING = 0
    LAYERS = 1
    FRAMES = 2
    PLACED = 3


def known_of(payload_bytes: int, stages: Sequence[StageTiming]) -> Known:
    """By what a stream had to bring, and what the sharer had to do for it."""
    if not payload_bytes:
        return Known.PLACED
    if any(each.seconds for each in stages if each.name == "prefill"):
        return Known.NOTHING
    return Known.LAYERS if any(each.seconds for each in stages if each.name == "encode") else Known.FRAMES
