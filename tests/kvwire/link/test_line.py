"""When bytes reach a line's far end, by a clock that the test holds."""

from random import Random

import pytest

from kvwire.link.line import SEGMENT_BYTES, Line
from kvwire.link.shape import Shape
from tests.clock import Clock


def line_of(shape, clock):
    return Line(shape, Random(0), clock)  # noqa: S311  # chance, not a secret


def test_pieces_go_one_after_the_other_and_arrive_a_delay_later():
    """Two pieces put at once take the line twice; a third, put on an idle line, only waits for itself."""
    clock = Clock()
    line = line_of(Shape(1000.0, 0.5), clock)
    assert [line.carry(100), line.carry(200)] == pytest.approx([100.6, 100.8])
    clock.now_s = 200.0
    assert line.carry(100) == pytest.approx(200.6)


def test_a_lost_segment_comes_a_round_trip_after_it_was_sent_again():
    """It takes the line a second time."""
    line = line_of(Shape(SEGMENT_BYTES, 0.5, 0.999999), Clock())
    assert line.carry(SEGMENT_BYTES) == pytest.approx(101.5)
    assert line.carry_again(SEGMENT_BYTES) == pytest.approx(102.5 + 2 * 0.5)


def test_as_many_segments_are_lost_as_the_shape_says():
    """One in fifty, of pieces of ten segments each."""
    line = line_of(Shape(1e9, 0.0, 0.02), Clock())
    lost = sum(line.carry_again(10 * SEGMENT_BYTES) is not None for _ in range(20_000))
    assert lost / 20_000 == pytest.approx(1 - 0.98**10, rel=0.05)


def test_nothing_is_lost_on_a_line_without_loss():
    """Not even where chance falls on the edge."""
    line = line_of(Shape(1e9), Clock())
    assert all(line.carry_again(10 * SEGMENT_BYTES) is None for _ in range(1000))
