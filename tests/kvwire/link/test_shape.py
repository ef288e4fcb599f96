"""How a link is written."""

import pytest

from kvwire.errors import InvalidRequestError
from kvwire.link.shape import Shape


def test_a_link_is_written_as_tc_writes_it():
    """Rates are bits per second, delays are one way, loss is a share."""
    assert Shape.parse("100mbit", "5ms", "0.1%") == Shape(12.5e6, 0.005, 0.001)
    assert Shape.parse("1.5gbit", "250us", "0.25") == Shape(187.5e6, 0.00025, 0.25)


@pytest.mark.parametrize(
    "written", [("fast",), ("100",), ("100mbit", "5"), ("100mbit", "5ms", "1permille"), ("0mbit",)]
)
def test_what_is_no_quantity_is_refused(written):
    """The message says what was meant."""
    with pytest.raises(InvalidRequestError, match=r"rate|delay|loss"):
        Shape.parse(*written)


def test_the_command_is_told_the_same_link():
    """Its options read back give the shape."""
    shape = Shape(8_765_432.0, 0.0123, 0.005)
    rate, delay, loss = shape.arguments[1::2]
    assert Shape.parse(rate, delay, loss) == shape
