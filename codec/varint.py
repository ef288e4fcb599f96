"""Unsigned LEB128 integers and a reader that never runs past its bytes."""

from kvwire.errors import DataLossError

#: 5 groups of 7 bits: counts and lengths below 2**35, which no frame comes near.
_MAX_GROUPS = 5
_LOW, _MORE = 0x7F, 0x80


def varint(value: int) -> bytes:
    """7 bits a byte, lowest first; the top bit says that more follow."""
    out = bytearray()
    while value > _LOW:
        out.append(value & _LOW | _MORE)
        value >>= 7
    return bytes([*out, value])


class Reader:
    """Walks over bytes; each error says what was being read and where."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self.data) - self.at

    def take(self, length: int, what: str) -> memoryview:
        """The next ``length`` bytes, not copied.

        Raises:
            DataLossError: Fewer are left.
        """
        if length > self.left:
            raise DataLossError(f"{what}: {length} bytes announced at {self.at}, {self.left} left; the frame was cut")
        start, self.at = self.at, self.at + length
        return self.data[start : self.at]

    def byte(self, what: str) -> int:
        """The next byte."""
        return self.take(1, what)[0]

    def varint(self, what: str, top: int, least: int = 0) -> int:
        """The next integer, ``least`` to ``top``.

        Raises:
            DataLossError: It is cut short, longer than it need be, or out of range.
        """
        value = 0
        for group in range(_MAX_GROUPS):
            byte = self.byte(what)
            value |= (byte & _LOW) << (7 * group)
            if byte < _MORE:
                if byte == 0 and group > 0:
                    break
                if not least <= value <= top:
                    raise DataLossError(f"{what} is {value}; {least} to {top} can be read")
                return value
        raise DataLossError(f"{what}: the integer that ends at {self.at} is not in its shortest form")
