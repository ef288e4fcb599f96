"""Lets a model read texts and keeps what it read, so that a run that was cut short goes on where it was."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from calibration.pieces import pieces
from calibration.readings import TextReader, write

#: How many pieces have been read, of how many.
Told = Callable[[int, int], None]


def collect(side: TextReader, text: str, count: int, folder: Path, told: Told) -> list[Path]:
    """Files of :mod:`calibration.readings`, one per piece; any first part of the list represents the whole text.

    Raises:
        InvalidRequestError: The text is too short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, piece in enumerate(pieces(text, count)):
        path = folder / f"{hashlib.sha256(piece.encode()).hexdigest()[:16]}.safetensors"
        if not path.exists():
            write(side.read(piece), path)
        files.append(path)
        told(number + 1, count)
    return files
