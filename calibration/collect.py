"""Lets two models read texts and keeps what they read, so that a run that was cut short goes on where it was."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from calibration.pairs import Side, read_pair, write_pair
from calibration.pieces import pieces

#: How many pieces have been read, of how many.
Told = Callable[[int, int], None]


def collect(sharer: Side, receiver: Side, text: str, count: int, folder: Path, told: Told) -> list[Path]:
    """Files of :mod:`calibration.pairs`, one per piece of the text, in an order that any first part of represents it.

    Raises:
        InvalidRequestError: The text is too short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, piece in enumerate(pieces(text, count)):
        name = hashlib.sha256(piece.encode()).hexdigest()[:16]
        path = folder / f"{number:05}-{name}.safetensors"
        if not path.exists():
            write_pair(read_pair(sharer, receiver, piece), path)
        files.append(path)
        told(number + 1, count)
    return files
