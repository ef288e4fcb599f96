"""What streams teach of a sharer and of the way to it."""

import pytest

from kvwire.report import StageTiming
from kvwire.requests import Text
from receiver_service.choosing.pace import Pace, Stream
from tests.clock import Clock


def stream(frames_s=1.0, payload_bytes=1_000_000, placing_s=0.0, header_s=0.01, **stages):
    timed = tuple(StageTiming(name, "sharer", seconds) for name, seconds in stages.items())
    return Stream(
        tokens=100,
        layers=10,
        codec_base="int8",
        payload_bytes=payload_bytes,
        header_s=header_s,
        frames_s=frames_s,
        placing_s=placing_s,
        stages=timed,
    )


def pace_after(*streams, clock=None):
    pace = Pace(clock or Clock())
    for each in streams:
        pace.learn("mia", Text("a"), "int8", each)
    return pace


def test_a_stream_that_was_held_up_shows_the_links_rate():
    """A megabyte in a second, less the first layer, which was made before anything could be sent."""
    pace = pace_after(stream(frames_s=1.0, prefill=0.1))
    assert pace.wire_s(500_000) == pytest.approx(0.5 * 0.99)


def test_a_stream_as_slow_as_its_sharer_shows_no_link():
    """It may be as fast as it likes."""
    assert pace_after(stream(frames_s=1.0, prefill=0.95)).wire_s(10**9) == 0


def test_a_stream_as_slow_as_its_placing_shows_no_link():
    """The receiver was at work, not waiting."""
    assert pace_after(stream(frames_s=1.0, prefill=0.1, placing_s=0.9)).wire_s(10**9) == 0


def test_a_stream_that_was_waited_for_less_than_half_of_its_time_shows_no_link():
    """Placing it took the rest: what is left over says little of how fast bytes come."""
    assert pace_after(stream(frames_s=1.0, prefill=0.1, placing_s=0.55)).wire_s(10**9) == 0
    assert pace_after(stream(frames_s=1.0, prefill=0.1, placing_s=0.45)).wire_s(10**9) > 0


def test_a_stream_whose_frames_took_no_time_says_nothing_of_the_link():
    """It came in one piece with its header, or the clock is too coarse."""
    assert pace_after(stream(frames_s=1.0), stream(frames_s=0.0)).wire_s(500_000) == pytest.approx(0.5)


def test_a_link_that_became_faster_is_measured_anew():
    """A stream faster than the rate that was known proves it wrong."""
    slow, fast = stream(frames_s=10.0, prefill=0.1), stream(frames_s=0.5, prefill=0.45)
    assert pace_after(slow, slow, fast).wire_s(10**9) == 0


def test_a_stream_that_is_hardly_faster_than_the_link_proves_nothing():
    """A tenth more, with the sharer at work for most of it: the rate stays as it was measured."""
    slow, busy = stream(frames_s=10.0, prefill=0.1), stream(frames_s=9.0, prefill=8.9)
    assert pace_after(slow, busy).wire_s(100_000) == pytest.approx(1.0, rel=0.01)


def test_a_sharers_queue_is_forgotten_as_time_passes():
    """Half of what it was above the shortest after five seconds; the way there and back stays."""
    clock = Clock()
    pace = pace_after(stream(header_s=0.01), stream(header_s=4.01, queue=4.0), clock=clock)
    assert pace.header_s() == pytest.approx(4.01)
    clock.now_s += 5
    assert pace.header_s() == pytest.approx(2.01)


def test_of_a_queue_the_shortest_lately_lasts_for_ever():
    """So many others always come before one; before anything was asked, nothing is known of it."""
    clock = Clock()
    assert Pace(clock).header_s() == 0
    pace = pace_after(stream(header_s=1.01, queue=1.0), stream(header_s=3.01, queue=3.0), clock=clock)
    clock.now_s += 5
    assert pace.header_s() == pytest.approx(0.01 + 1.0 + 1.0)


def test_only_the_latest_five_streams_count():
    """A sharer that was slow once is not slow for ever."""
    pace = pace_after(*[stream(header_s=2.0)] * 9, *[stream(header_s=0.5)] * 3)
    assert pace.header_s() == pytest.approx(0.5)


def test_each_codec_has_its_own_times_and_prefill_is_shared():
    """Encoding int8 says nothing of rd."""
    pace = pace_after(stream(prefill=0.4, encode=0.2, placing_s=0.1))
    assert pace.prefill.at(100) == 0.4
    assert (pace.encode("int8").at(100), pace.place("int8").at(100)) == (0.2, 0.1)
    assert (pace.encode("rd").at(100), pace.place("rd").at(100)) == (0, 0)
