"""How long until the first token, by each way."""

import pytest

from kvwire.report import Report, StageTiming, TokenCounts
from kvwire.requests import Method, Text
from receiver_service.choosing.forecast import Asked, Sending, reading_s, sending_s
from receiver_service.choosing.own import OwnPasses
from receiver_service.choosing.pace import Pace, Stream

CONTEXT, ANOTHER = Text("a"), Text("b")


def own():
    """A receiver that reads 100 tokens in a second, and 10 in a tenth."""
    passes = OwnPasses()
    for tokens, seconds in ((10, 0.1), (100, 1.0)):
        timed = (StageTiming("prefill", "receiver", seconds),)
        passes.heard(Report("1", Method.PREFIX, Method.PREFIX, tokens=TokenCounts(prompt=tokens), stages=timed))
    return passes


def known(context=ANOTHER, times=1, codec="int8+rope=pre", **changes):
    """A sharer that reads 100 tokens in 0.4 s behind a link of a megabyte per second."""
    pace = Pace()
    stages = {"prefill": 0.4, "encode": 0.1}
    fields = {"payload_bytes": 2_000_000, "header_s": 0.05, "frames_s": 2.05, "placing_s": 0.2} | changes
    for _ in range(times):
        timed = tuple(StageTiming(name, "sharer", seconds) for name, seconds in stages.items())
        pace.learn("mia", context, codec, Stream(tokens=100, layers=10, codec_base="int8", stages=timed, **fields))
        stages = {"prefill": 0.0, "encode": 0.1}
    return pace


def asked(*, streams=True):
    return Asked("mia", CONTEXT, 100, 10, streams)


def sending(payload_bytes):
    return Sending("int8", "int8", payload_bytes, 10)


def test_reading_again_takes_what_a_pass_over_context_and_prompt_takes():
    """110 tokens."""
    assert reading_s(asked(), own()) == pytest.approx(1.1)


def test_of_a_pipeline_the_longest_stage_counts_and_one_layer_of_the_others():
    """4 MB take 4 s; making takes 0.5 s, placing and the prompt 0.3 s; the header 0.05 s."""
    assert sending_s(asked(), sending(4_000_000), known(), own()) == pytest.approx(4.0 + 0.08 + 0.05)


def test_where_bytes_are_few_making_them_is_the_longest_stage():
    """1 kB takes no time."""
    assert sending_s(asked(), sending(1000), known(), own()) == pytest.approx(0.5 + 0.03 + 0.05, abs=1e-3)


def test_a_prompt_that_does_not_stream_is_read_after_all():
    """Not while layers come."""
    found = [sending_s(asked(streams=streams), sending(4_000_000), known(), own()) for streams in (True, False)]
    assert found[1] - found[0] == pytest.approx(0.1 - 0.01)


def test_what_the_sharer_sends_as_kept_is_made_in_no_time():
    """Only the link and the receiver's own work are left."""
    pace = known(CONTEXT, 2, "int8")
    assert sending_s(asked(), sending(1000), pace, own()) == pytest.approx(0.3 + 0.05, abs=1e-3)


def test_what_the_receiver_holds_needs_no_link():
    """A header, then the prompt."""
    assert sending_s(asked(), sending(4_000_000), known(CONTEXT, codec="int8"), own()) == pytest.approx(0.05 + 0.1)


def test_what_came_in_the_same_way_lately_is_the_better_forecast():
    """2.1 s until the last layer was placed, whatever its parts take by themselves; a layer of the prompt is left."""
    assert sending_s(asked(), sending(4_000_000), known(codec="int8"), own()) == pytest.approx(2.1 + 0.01)


def test_after_such_a_cache_a_prompt_that_does_not_stream_is_read_whole():
    """All its layers."""
    found = sending_s(asked(streams=False), sending(4_000_000), known(codec="int8"), own())
    assert found == pytest.approx(2.1 + 0.1)
