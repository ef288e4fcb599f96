"""Integers of a frame: what is written, what is read, what is refused."""

import pytest

from codec.varint import Reader, varint
from kvwire.errors import DataLossError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (300, b"\xac\x02"),
        (16384, b"\x80\x80\x01"),
        (2**35 - 1, b"\xff\xff\xff\xff\x7f"),
    ],
)
def test_an_integer_is_the_bytes_of_leb128_and_reads_back(value, written):
    """The bytes are worked out by hand from the format's definition."""
    reader = Reader(memoryview(written + b"!"))
    assert varint(value) == written
    assert reader.varint("count", 2**35) == value
    assert (reader.at, reader.left) == (len(written), 1)


@pytest.mark.parametrize("value", [3, 300])
def test_both_ends_of_a_range_can_be_read(value):
    """Least and top are in it."""
    assert Reader(memoryview(varint(value))).varint("count", 300, 3) == value


@pytest.mark.parametrize("value", [2, 301])
def test_an_integer_out_of_range_is_refused(value):
    """With the value and both ends."""
    with pytest.raises(DataLossError, match=f"^count is {value}; 3 to 300 can be read$"):
        Reader(memoryview(varint(value))).varint("count", 300, 3)


def test_zero_is_the_least_where_none_is_named():
    """A count of nothing is a count."""
    assert Reader(memoryview(b"\x00")).varint("count", 0) == 0


@pytest.mark.parametrize(("data", "at"), [(b"\x80\x00", 2), (b"\xff\x80\x00", 3), (b"\xff\xff\xff\xff\xff\x01", 5)])
def test_an_integer_longer_than_it_need_be_is_refused(data, at):
    """One value has one spelling, of at most five bytes."""
    with pytest.raises(DataLossError, match=f"^count: the integer that ends at {at} is not in its shortest form$"):
        Reader(memoryview(data)).varint("count", 2**63)


def test_bytes_that_are_not_there_are_not_read():
    """The error says what, how many, and where; the place does not move."""
    reader = Reader(memoryview(b"abc"))
    assert bytes(reader.take(2, "name")) == b"ab"
    with pytest.raises(DataLossError, match=r"^scale: 2 bytes announced at 2, 1 left; the frame was cut$"):
        reader.take(2, "scale")
    assert reader.byte("tag") == ord("c")
    with pytest.raises(DataLossError, match=r"^tag: 1 bytes announced at 3, 0 left"):
        reader.byte("tag")


def test_an_integer_cut_short_is_refused_by_name():
    """Its first byte says that more follow, and none does."""
    with pytest.raises(DataLossError, match=r"^count: 1 bytes announced at 1, 0 left"):
        Reader(memoryview(b"\x80")).varint("count", 300)
