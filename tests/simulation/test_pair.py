"""One sharer and one receiver do in the simulation what the services do: stream, batch, take turns, wait for memory."""

from dataclasses import replace

import pytest
from simpy import Environment

from simulation.compute import Compute
from simulation.curve import Curve
from simulation.decoder import Decoder
from simulation.host import Host
from simulation.link import Link, Path
from simulation.memory import answer_bytes
from simulation.requests import Mix, Request
from simulation.stream import Stream
from simulation.system import Design, Limits, System

CONTEXT, PROMPT, ANSWER = 64, 16, 8


def request(due_s, context, *, tokens=CONTEXT, answer=ANSWER):
    return Request(due_s, context, tokens, PROMPT, answer)


def play(times, requests, **design):
    return System(Design(**design), times).play(requests)


def test_a_lone_request_takes_what_its_stages_take(times):
    """The prompt is read while the cache comes: only its last layer is left when the last layer was placed."""
    run = play(times, [request(0.0, 0)])
    (outcome,) = run.outcomes
    sharer, receiver, calls = times.sharer, times.receiver, times.calls
    before = calls.client_s + receiver.tokenize_s + calls.share_s + sharer.plan_s
    read = sharer.prefill.at(CONTEXT) + 10 * sharer.encode_layer.at(CONTEXT)
    last = calls.message_s + receiver.decode_layer.at(CONTEXT) + receiver.place_layer.at(CONTEXT)
    prompt = receiver.prompt.at(PROMPT) / 10
    first_s = before + read + last + prompt + receiver.first_token_s / 2  # the other half is over before the prompt is
    assert outcome.first_token_s == pytest.approx(first_s, abs=1e-9)
    assert outcome.gaps_s == pytest.approx([receiver.turnover_s / 2 + 0.05] + [0.05] * 6)
    assert outcome.total_s == pytest.approx(first_s + sum(outcome.gaps_s))
    assert run.sharers[0].compute.busy_s == pytest.approx(sharer.plan_s + read)


def test_contexts_that_wait_are_read_in_one_pass(times):
    """The first one alone, for nobody knew of the others; the last one's plan is made just before a pass begins."""
    run = play(times, [request(0.1 * index, index) for index in range(4)])
    assert (run.sharers[0].passes, run.sharers[0].contexts) == (3, 4)
    apart = play(times, [request(10.0 * index, index) for index in range(4)])
    assert (apart.sharers[0].passes, apart.sharers[0].contexts) == (4, 4)
    assert run.sharers[0].compute.busy_s == pytest.approx(apart.sharers[0].compute.busy_s - 0.08)


def test_a_pass_holds_no_more_tokens_than_the_services_take(times):
    """Of 256 tokens each two fit."""
    run = play(times, [request(0.1 * index, index, tokens=256) for index in range(5)])
    assert run.sharers[0].passes == 3


def test_answers_are_written_together(times):
    """Those that overlap share their steps."""
    run = play(times, [request(0.01 * index, index, answer=40) for index in range(4)])
    decoder = run.receivers[0].decoder
    assert decoder.tokens == 4 * 39
    assert decoder.passes < 0.6 * decoder.tokens


def test_who_comes_and_goes_holds_up_those_that_are_written(times):
    """For half a turnover each; and who went last still keeps the receiver for its half."""
    env = Environment()
    compute = Compute(env, Host(env), 1.0)
    decoder = Decoder(env, compute, replace(times.receiver, turnover_s=0.02, step=Curve(0.05)))
    short, long = decoder.write(2), decoder.write(4)
    env.run()
    assert short.value == pytest.approx([0.07, 0.12])
    assert long.value == pytest.approx([0.07, 0.12, 0.18, 0.23])
    assert compute.busy_s == pytest.approx(0.24)


def test_a_cache_waits_for_few_steps_of_others_answers(times):
    """All layers that have come are one piece of work: a step has its turn before it and after it."""
    writing = request(0.0, 0, answer=200)
    fast = replace(times, sharer=replace(times.sharer, prefill=Curve(0.001)))
    lone = play(fast, [request(5.0, 1)]).outcomes[0].first_token_s
    beside = play(fast, [writing, request(5.0, 1)]).outcomes[1].first_token_s
    assert 0 < beside - lone < 4 * 0.05


@pytest.mark.parametrize(("window_bytes", "emitted_s"), [(100, [0, 0, 0, 0, 1, 2]), (1000, [0, 0, 0, 0, 0, 0])])
def test_a_slow_link_holds_up_who_sends_only_beyond_its_window(window_bytes, emitted_s):
    """A message takes a second: one is sent, one waits for the window, two for that one, and the next for them."""
    env = Environment()
    stream, found = Stream(env, Path((Link(100.0),)), window_bytes), []

    def send():
        for _ in emitted_s:
            yield stream.emit(100)
            found.append(env.now)

    def read():
        for _ in emitted_s:
            yield from stream.read()

    env.process(send())
    env.run(until=env.process(read()))
    assert found == emitted_s
    assert env.now == len(emitted_s)


def test_what_a_receiver_holds_is_not_sent_and_what_a_sharer_keeps_is_not_read(times):
    """Three questions about one context."""
    asked = [request(10.0 * index, 0) for index in range(4)]
    cold = play(times, asked)
    assert cold.sharers[0].passes == 4
    kept = play(times, asked, limits=Limits(sharer_reuse_bytes=1 << 30))
    assert kept.sharers[0].passes == 1
    assert kept.outcomes[3].first_token_s < kept.outcomes[1].first_token_s < cold.outcomes[1].first_token_s
    assert kept.outcomes[3].nbytes == cold.outcomes[3].nbytes
    held = play(times, asked, limits=Limits(receiver_reuse_bytes=1 << 30))
    assert held.sharers[0].passes == 1
    assert held.outcomes[1].nbytes < 0.01 * held.outcomes[0].nbytes


def test_who_finds_no_memory_waits_for_those_before(times):
    """Room for one answer at a time: the second begins when the first has ended."""
    one = answer_bytes(times.shape, CONTEXT, CONTEXT + PROMPT + ANSWER)
    first, second = play(times, [request(0.0, 0), request(0.0, 1)], limits=Limits(cache_memory_bytes=one)).outcomes
    assert second.first_token_s > first.total_s
    two = play(times, [request(0.0, 0), request(0.0, 1)], limits=Limits(cache_memory_bytes=2 * one)).outcomes
    assert two[1].first_token_s < 0.8 * second.first_token_s


def test_one_request_too_many_is_refused_and_so_is_one_that_never_fits(times):
    """At once, and it takes nothing."""
    asked = [request(0.0, index) for index in range(3)]
    outcomes = play(times, asked, limits=Limits(max_in_flight=2)).outcomes
    assert [each.first_token_s is None for each in outcomes] == [False, False, True]
    small = Limits(cache_memory_bytes=1000)
    assert play(times, asked[:1], limits=small).outcomes[0].first_token_s is None


def test_requests_are_drawn_in_the_shares_of_a_mix():
    """The same by seed; contexts of one number have one length."""
    mix = Mix({32: 3.0, 64: 1.0}, {8: 1.0}, {4: 1.0}, distinct=20, zipf=1.0)
    due_s = [float(index) for index in range(4000)]
    drawn = mix.requests(due_s, 7)
    assert drawn == mix.requests(due_s, 7) != mix.requests(due_s, 8)
    asked = [each.context for each in drawn]
    assert asked.count(0) == pytest.approx(2 * asked.count(1), rel=0.15)
    assert len({(each.context, each.context_tokens) for each in drawn}) == 20
    new = Mix({32: 3.0, 64: 1.0}, {8: 1.0}, {4: 1.0}).requests(due_s, 7)
    assert len({each.context for each in new}) == 4000
    assert sum(each.context_tokens == 32 for each in new) == pytest.approx(3000, abs=100)
