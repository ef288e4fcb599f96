"""A system loses nothing, does the same again by its seed, and goes by the services' own limits."""

import pytest

import kvwire.engine.reader
import sharer_service.prefill
import sharer_service.servicer
from kvwire.config import ServiceSettings
from loadtest.arrivals import Load, schedule
from simulation import reader, sharer, stream
from simulation.choice import by_context, fewest, in_turn
from simulation.memory import answer_bytes
from simulation.requests import Mix, Request
from simulation.summary import share_within, summarize
from simulation.system import Design, Limits, System
from simulation.times import Shape

MIX = Mix({32: 1.0, 64: 1.0}, {8: 1.0, 16: 1.0}, {4: 1.0, 8: 1.0})
DESIGN = Design(sharers=2, receivers=3, rate_bytes_s=2e6, delay_s=0.002)


@pytest.fixture
def run(times):
    """Three receivers that ask two sharers for a hundred seconds."""
    requests = MIX.requests(schedule(Load("poisson", 3.0, 100.0)), 0)
    return System(DESIGN, times).play(requests), requests


def test_every_request_is_answered_once_and_every_byte_arrives(run):
    """Requests, tokens, contexts and bytes are as many at the end as at the beginning."""
    played, requests = run
    assert [each.request for each in played.outcomes] == requests
    assert all(each.first_token_s is not None for each in played.outcomes)
    assert [len(each.gaps_s) for each in played.outcomes] == [each.answer_tokens - 1 for each in requests]
    assert sum(each.contexts for each in played.sharers) == len(requests)
    assert sum(each.decoder.tokens for each in played.receivers) == sum(each.answer_tokens - 1 for each in requests)
    outgoing, incoming = played.links[:2], played.links[2:]
    arrived = sum(each.nbytes for each in played.outcomes)
    assert arrived == sum(each.nbytes for each in outgoing) == sum(each.nbytes for each in incoming)
    assert {each.in_flight for each in (*played.sharers, *played.receivers)} == {0}


def test_requests_that_are_due_at_one_moment_come_at_one_moment(times):
    """As traces have them: from 0.48 s on, 4.81 s later is by rounding a bit after 5.29 s."""
    requests = MIX.requests([0.48, 5.29, 5.29], 0)
    assert [each.request for each in System(DESIGN, times).play(requests).outcomes] == requests


def test_as_many_are_in_flight_as_littles_law_says(run):
    """Mean number in flight = rate x mean time, counted by when each came and went."""
    played, requests = run
    moments = [(each.due_s, 1) for each in requests]
    moments += [(each.request.due_s + each.total_s, -1) for each in played.outcomes]
    area, count, last = 0.0, 0, 0.0
    for at, step in sorted(moments):
        area += count * (at - last)
        count, last = count + step, at
    assert area == pytest.approx(sum(each.total_s for each in played.outcomes))
    assert last == pytest.approx(played.seconds)


def test_the_same_seed_plays_the_same_and_another_does_not(times, run):
    """To the last digit."""
    played, requests = run
    assert System(DESIGN, times).play(requests).outcomes == played.outcomes
    other = MIX.requests(schedule(Load("poisson", 3.0, 100.0, seed=1)), 1)
    assert System(DESIGN, times).play(other).outcomes != played.outcomes


def test_a_run_is_summed_up_in_the_words_of_the_load_tester(run):
    """Rates, percentiles, use; what was due in the warm-up is left out."""
    played, requests = run
    found = summarize(played)
    assert found["requests"] == len(requests)
    assert found["answered_rps"] == pytest.approx(len(requests) / played.seconds) == pytest.approx(3.0, rel=0.2)
    assert found["ttft_ms"]["p50"] < found["ttft_ms"]["p95"] < 1000 * max(e.total_s for e in played.outcomes)
    assert 0 < found["utilisation"]["sharers"]["mean"] <= found["utilisation"]["sharers"]["most"] < 1
    assert summarize(played, 50.0)["requests"] == sum(each.due_s >= 50 for each in requests)
    median_s = found["ttft_ms"]["p50"] / 1000
    assert share_within(played.outcomes, 0.999 * median_s) < 0.5 <= share_within(played.outcomes, 1.001 * median_s)


def test_twice_the_services_take_twice_the_load_as_well(times):
    """Pairs that share nothing: the waiting is that of one."""
    means = []
    for pairs in (1, 4):
        requests = MIX.requests(schedule(Load("poisson", 1.0 * pairs, 400.0)), 0)
        played = System(Design(sharers=pairs, receivers=pairs, to_sharers=in_turn), times).play(requests)
        means.append(summarize(played)["utilisation"]["receivers"]["mean"])
    assert means[0] == pytest.approx(means[1], rel=0.15)


def test_requests_go_where_the_choice_says():
    """In turn; to the context's own of those with the fewest; always to the same for a context."""
    asked = Request(0.0, 5, 1, 1, 1)
    assert [in_turn([0, 0, 0], index, asked) for index in range(4)] == [0, 1, 2, 0]
    assert [fewest(busy, 0, asked) for busy in ([2, 1, 3], [2, 1, 1], [1, 1, 2])] == [1, 2, 0]
    assert by_context([9, 0, 0], 0, asked) == 2


def test_receivers_that_are_mostly_idle_ask_all_sharers(times):
    """Each goes by its own calls alone, and of equals takes the context's own."""
    requests = MIX.requests(schedule(Load("poisson", 2.0, 100.0)), 0)
    played = System(Design(sharers=4, receivers=8), times).play(requests)
    busiest = max(each.contexts for each in played.sharers)
    assert busiest < 0.35 * len(requests)


def test_limits_are_those_of_the_services():
    """Written down twice, for the simulation knows no service; they must not drift apart."""
    assert sharer.TOKENS_TOGETHER == sharer_service.prefill._TOKENS_TOGETHER
    assert reader.TOKENS_TOGETHER == kvwire.engine.reader._TOKENS_TOGETHER
    assert stream.FRAMES_WAITING == sharer_service.servicer._FRAMES_WAITING
    assert Limits().max_in_flight == ServiceSettings.model_fields["max_in_flight"].default


@pytest.mark.parametrize(("slots", "megabytes"), [(200, 30), (4000, 390)])
def test_memory_is_what_the_manual_says(slots, megabytes):
    """SmolLM2-135M in float32, two of the longest rows, as docs/operations.md reckons."""
    assert answer_bytes(Shape(30, 3, 64, 4), 0, slots) == pytest.approx(1e6 * megabytes, rel=0.01)
