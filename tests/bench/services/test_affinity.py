"""The trace is what it says, and asking where a context is held shows in what the services count."""

from collections import Counter

import pytest

from bench.services import affinity_trace
from bench.services.affinity import kept_bytes, play
from kvwire.balancing.choice import Balance
from kvwire.errors import InvalidRequestError
from loadtest.datasets import SpanItem

ITEMS = [
    SpanItem(f"{paragraph}-{number}", f"What is {number}?", ("it",), f"Paragraph {paragraph} says that it is so.")
    for paragraph in range(50)
    for number in range(3)
]


def test_some_contexts_are_asked_about_far_more_often_than_others():
    """As often as a rank to the power of -0.8 says, within what chance does."""
    trace = affinity_trace.draw(ITEMS, 40, 20_000)
    counted = [count for _, count in Counter(item.context for item in trace).most_common()]
    total = sum(rank**-0.8 for rank in range(1, 41))
    assert len(counted) == 40
    for rank in (1, 2, 10):
        assert counted[rank - 1] == pytest.approx(20_000 * rank**-0.8 / total, rel=0.1)


def test_the_same_seed_draws_the_same_trace_and_another_another():
    """Whoever wants to can check it."""
    assert affinity_trace.draw(ITEMS, 40, 100, 1) == affinity_trace.draw(ITEMS, 40, 100, 1)
    assert affinity_trace.draw(ITEMS, 40, 100, 1) != affinity_trace.draw(ITEMS, 40, 100, 2)


def test_a_trace_is_read_as_it_was_written(tmp_path):
    """By the ids of its questions."""
    trace = affinity_trace.draw(ITEMS, 10, 100)
    affinity_trace.write(trace, tmp_path / "trace")
    assert affinity_trace.read(tmp_path / "trace", ITEMS) == trace


@pytest.mark.parametrize("line", ['{"question": "unknown"}', "{}", "no JSON", "7"])
def test_a_file_that_is_no_trace_is_refused(tmp_path, line):
    """Rather than played in part."""
    (tmp_path / "trace").write_text('{"question": "0-0"}\n' + line + "\n")
    with pytest.raises(InvalidRequestError, match="no trace of these questions"):
        affinity_trace.read(tmp_path / "trace", ITEMS)


def test_more_contexts_than_there_are_cannot_be_drawn():
    """It says how many there are."""
    with pytest.raises(InvalidRequestError, match="the set has 50"):
        affinity_trace.draw(ITEMS, 51, 100)


@pytest.mark.slow
def test_where_a_context_is_held_less_is_read_and_less_is_sent(tiny_llama, own_store):  # noqa: ARG001  # a fixture
    """Over the same trace, on services that hold a third of it each, than when each is asked in turn."""
    trace, model = affinity_trace.draw(ITEMS, 12, 60), f"path:{tiny_llama}"
    room_bytes = kept_bytes(model, trace) // 3
    held, turns = (play(model, trace, each, room_bytes, 2) for each in (Balance.AFFINITY, Balance.ROUND_ROBIN))
    assert held.held_rate > turns.held_rate
    assert held.no_prefill_rate > turns.no_prefill_rate
    assert held.payload_bytes < turns.payload_bytes
    assert sum(held.by_receiver) == sum(held.by_sharer) == 60
    assert min(*held.by_receiver, *held.by_sharer) > 0
    print(f"\nheld {held}\nturns {turns}")
