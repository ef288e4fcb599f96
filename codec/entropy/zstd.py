"""``entropy=zstd``: Zstandard, RFC 8878. A plane that it does not make smaller travels as it is.

Codes that an absmax scale has made have little left to squeeze (3.9 of 4 bits); a uniform step's have more.
"""

import zstandard

from kvwire.errors import DataLossError

#: The fastest: packed codes have no long repeats for a higher level to find.
_LEVEL = 1


def compress(data: bytes | memoryview) -> bytes:
    """A Zstandard frame that names its content's size; the same bytes for the same data and library version."""
    # A context per call: they are not thread-safe.
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(data)


def decompress(data: memoryview, size_bytes: int, what: str) -> bytes:
    """The content, which must be of ``size_bytes``; nothing larger is allocated, whatever the data say.

    Raises:
        DataLossError: The data are not one whole Zstandard frame of that size.
    """
    try:
        announced = zstandard.frame_content_size(data)
        if announced != size_bytes:
            raise DataLossError(f"{what}: a Zstandard frame of {announced} bytes, {size_bytes} announced")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise DataLossError(f"{what}: {error}; send the frame again") from None
