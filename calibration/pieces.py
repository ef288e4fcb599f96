"""Cuts text into pieces that two models read: spread over the text, each beginning with a line."""

from kvwire.errors import InvalidRequestError

#: About 380 tokens of English.
PIECE_CHARACTERS = 1600


def pieces(text: str, count: int) -> list[str]:
    """So many pieces of equal length, none overlapping, in an order in which every beginning is spread over the text.

    Raises:
        InvalidRequestError: The text is too short for them.
    """
    stride = len(text) // count
    if stride < 2 * PIECE_CHARACTERS:
        raise InvalidRequestError(
            f"the text has {len(text)} characters; {count} pieces need {2 * PIECE_CHARACTERS * count}, give more text"
        )
    found = [_from_line(text, at * stride) for at in range(count)]
    # Golden-ratio steps: any first part of the list covers the text about evenly, so that less can be read.
    return [found[at] for at in sorted(range(count), key=lambda at: (at * 0.6180339887498949) % 1)]


def _from_line(text: str, at: int) -> str:
    line = text.find("\n", at, at + PIECE_CHARACTERS) + 1 or at
    return text[line : line + PIECE_CHARACTERS]
