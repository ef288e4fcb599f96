"""Bytes of another process as a protobuf message."""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from kvwire.errors import DataLossError

M = TypeVar("M", bound=Message)


def parsed(kind: type[M], data: bytes, what: str) -> M:
    """The message; ``what`` it is, for its error.

    Raises:
        DataLossError: The bytes are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise DataLossError(
            f"{what} of {len(data)} bytes does not parse; it was changed on the way, retry the call"
        ) from error
