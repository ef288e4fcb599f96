"""What contexts stand behind is read once for a caller."""

from dataclasses import replace

import pytest
import torch

from kvwire.engine.cache import PositionedCache
from kvwire.engine.worker import Worker
from kvwire.errors import CancelledError
from receiver_service.openings import Openings

LAYERS = 2


class Engine:
    """Keys and values of a token are its number; notes what it reads."""

    def __init__(self):
        self.read_tokens = []

    def new_cache(self):
        return PositionedCache(LAYERS)

    def read(self, tokens, cache, first_position):
        self.read_tokens.append(tuple(tokens))
        for layer in range(LAYERS if tokens else 0):
            numbers = torch.tensor(tokens, dtype=torch.float32).reshape(1, -1, 1)
            cache.place(layer, numbers, numbers, torch.arange(len(tokens)) + first_position)


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def openings(engine):
    worker = Worker(max_in_flight=1)
    yield Openings(engine, worker)
    worker.close()


def of(question, caller):
    asked = question()
    return replace(asked, info=replace(asked.info, caller=caller))


async def test_a_caller_s_opening_is_read_once_and_every_cache_begins_with_it(engine, openings, question):
    """What is placed behind it in one cache is in no other."""
    caches = [engine.new_cache() for _ in range(3)]
    for cache in caches:
        await openings.begin(cache, (7, 8), of(question, "mia"))
        cache.place(0, torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.tensor([2]))
    assert engine.read_tokens == [(7, 8)]
    assert [cache.keys[0].flatten().tolist() for cache in caches] == [[7, 8, 0]] * 3
    assert [cache.values[1].flatten().tolist() for cache in caches] == [[7, 8]] * 3
    assert [cache.positions[0].tolist() for cache in caches] == [[0, 1, 2]] * 3


async def test_callers_share_no_opening(engine, openings, question):
    """How soon an answer comes tells nobody what another asked."""
    for caller in ("mia", "tom"):
        await openings.begin(engine.new_cache(), (7,), of(question, caller))
    assert engine.read_tokens == [(7,), (7,)]


async def test_a_text_is_not_kept(engine, openings, question):
    """It would be one of many, and large."""
    for _ in range(2):
        await openings.begin(engine.new_cache(), range(100), of(question, "mia"))
    assert len(engine.read_tokens) == 2


@pytest.mark.parametrize(("tokens", "reads"), [(16, 1), (17, 2)])
async def test_an_opening_of_sixteen_tokens_is_kept(engine, openings, question, tokens, reads):
    """No template's is longer."""
    for _ in range(2):
        await openings.begin(engine.new_cache(), range(tokens), of(question, "mia"))
    assert len(engine.read_tokens) == reads


async def test_an_opening_is_not_read_for_a_caller_that_hung_up(engine, openings, question):
    """It waits for a turn like all that is computed."""
    asked = of(question, "mia")
    asked.task.cancel()
    with pytest.raises(CancelledError):
        await openings.begin(engine.new_cache(), (7, 8), asked)
    assert engine.read_tokens == []


async def test_a_cache_may_begin_with_nothing(engine, openings, question):
    """Models without an opening."""
    cache = engine.new_cache()
    await openings.begin(cache, (), of(question, "mia"))
    assert cache.get_seq_length() == 0
