"""Service times are read off reports: each stage by its own clock, and what lies between two clocks."""

import pytest

from bench.services.stage_points import Points, service_times, sizes
from bench.services.stream_window import window_bytes
from kvwire.client import Generation
from kvwire.errors import LocalError
from kvwire.report import ByteCounts, Report, StageTiming, TokenCounts
from kvwire.requests import Method
from simulation.requests import Request
from simulation.stream import FRAMES_WAITING
from simulation.system import Design, System
from simulation.times import Shape

LAYERS = 10
#: Milliseconds: a call of the sharer, and each message of its stream.
CALL, MESSAGE = 3.0, 0.5
#: Between a sharer's plan and its work.
OPEN = 2.0


def told(stages_ms, *, context=0, prompt=0, payload=0):
    """A report; a stage is named by its side and its name."""
    stages = tuple(
        StageTiming(name.partition(".")[2], name.partition(".")[0], each / 1000) for name, each in stages_ms.items()
    )
    counts = ByteCounts(payload_bytes=payload, grpc_bytes=round(payload * 1.01))
    tokens = TokenCounts(0, context, prompt)
    return Report("", Method.PREFIX, Method.PREFIX, tokens=tokens, bytes=counts).with_stages(*stages)


def cache(context, prompt=16):
    """Of a pair that takes 5 ms a token to prefill, 20 to encode and hand over, and 2 a token to read a prompt."""
    sharer_ms = 1 + OPEN + 40 + 5 * context + 20
    share_ms = CALL + sharer_ms + MESSAGE + 0.6
    stages_ms = {
        "sharer.queue": 1,
        "sharer.prefill": 40 + 5 * context,
        "sharer.encode": 15,
        "sharer.backpressure": 5,
        "sharer.share": sharer_ms,
        "receiver.tokenize": 2,
        "receiver.decode_frames": 4,
        "receiver.place": 2,
        "receiver.share": share_ms,
        "receiver.together": 60 + 2 * prompt,
    }
    return told(stages_ms, context=context, prompt=prompt, payload=500 + 3000 * context)


def kept():
    """Of frames that need no computing."""
    share_ms = CALL + 1 + LAYERS * MESSAGE + 6
    stages = {"sharer.queue": 1, "receiver.decode_frames": 4, "receiver.place": 2, "receiver.share": share_ms}
    return told(stages, context=64)


def own(prompt, gaps_ms):
    """Of a receiver whose first token is 3 ms after its prompt; its client hears of it 7 ms later."""
    read_ms = 60 + 2 * prompt
    stages_ms = {"receiver.tokenize": 2, "receiver.prefill": read_ms, "receiver.first_token": 2 + read_ms + 3}
    gaps_s = tuple(gap / 1000 for gap in gaps_ms)
    return Generation("", (), told(stages_ms, prompt=prompt), (2 + read_ms + 3 + 7) / 1000, 0.0, gaps_s)


def measured():
    """Everything once, or at two lengths."""
    points = Points()
    for context, prompt in ((16, 4), (64, 16), (128, 64)):
        points.add_cache(cache(context, prompt), LAYERS)
    points.add_sharer_cpu([cache(16), cache(128)], 1.2)
    points.add_kept(kept())
    for prompt in (16, 64):
        points.add_own(own(prompt, (57, 50, 50, 50, 50)))
    for rows in (1, 4):
        points.add_steps([own(16, (99, 99, *[45 + 5 * rows] * 6, 1, 1))] * rows)
    points.add("turnover", 2, 0.009)
    points.add_sequences([cache(16, 16)] * 5, told({"receiver.together": 60 + 2 * 16 - 4 * 4}))
    for name, seconds in (("prefill", 0.36), ("step", 0.05)):
        points.add(f"{name}_alone", 64, seconds)
        points.add(f"{name}_beside", 64, 1.25 * seconds)
    points.add("ttft_alone", 64, 0.4)
    points.add("ttft_beside", 64, 0.9)
    return points


def fitted():
    return service_times(measured(), Shape(LAYERS, 2, 64, 4), sizes([cache(16), cache(128)]), 1 << 22, {})


def test_the_times_that_made_the_reports_are_found():
    """Curves, what happens once, and the calls between."""
    times = fitted()
    assert times.sharer.prefill.at(100) == pytest.approx(0.54)
    assert times.sharer.open_s == pytest.approx(OPEN / 1000)
    assert times.receiver.prompt.at(32) == pytest.approx(0.124)
    assert times.receiver.step.at(2) == pytest.approx(0.055)
    assert times.receiver.turnover_s == pytest.approx(0.009 - 0.003 / 2)
    assert times.receiver.prompt.together((16, 16)) == pytest.approx(0.124 + 0.004)
    assert times.receiver.first_token_s == pytest.approx(0.003)
    assert times.sharer.encode_layer.at(64) == pytest.approx(0.002)
    assert times.sharer.cpu_share == pytest.approx(1.2 / (0.041 + 0.02 + 0.08 + 0.041 + 0.02 + 0.64))
    assert (times.sharer.slowdown, times.receiver.slowdown) == pytest.approx((1.25, 1.25))
    assert times.calls.client_s == pytest.approx(0.007)
    assert times.calls.share_s == pytest.approx(CALL / 1000)
    assert times.calls.message_s == pytest.approx(MESSAGE / 1000)
    assert times.sizes.frame(100, LAYERS) == round(300_500 * 1.01 / LAYERS)


def test_a_simulated_lone_request_takes_what_the_measured_parts_took():
    """The client's call, tokenizing, the stream by the receiver's clock, a prompt's last layer, half of the rest."""
    (outcome,) = System(Design(), fitted()).play([Request(0.0, 0, 64, 16, 1)]).outcomes
    stream_s = cache(64).stage_s("share", "receiver")
    assert outcome.first_token_s == pytest.approx(0.007 + 0.002 + stream_s + 0.092 / LAYERS + 0.0015)


def test_a_service_is_never_faster_beside_another():
    """What was measured so is the machine's unrest."""
    points = Points()
    points.add("step_alone", 1, 0.05)
    points.add("step_beside", 1, 0.04)
    assert points.slowdown("step") == 1


def test_a_slowdown_is_told_by_turns():
    """However the machine's pace changes from one turn to the next."""
    points = Points()
    for pace in (0.05, 0.05, 0.5, 0.2):
        points.add("step_alone", 6, pace)
        points.add("step_beside", 6, 1.1 * pace)
    assert points.slowdown("step") == pytest.approx(1.1)


def test_bytes_of_one_length_tell_nothing():
    """And are refused."""
    with pytest.raises(LocalError, match="different lengths"):
        sizes([cache(16), cache(16)])


async def test_a_stream_runs_ahead_of_its_reader_by_a_window():
    """More than what the sharer lets wait, and not for ever."""
    found = await window_bytes()
    assert FRAMES_WAITING << 20 <= found < 64 << 20
