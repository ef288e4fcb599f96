"""Caches that a receiver holds, within a budget."""

import torch

from kvwire.requests import Method, ModelBinding, RequestInfo, Text
from kvwire.stream import ShareRequest
from receiver_service.held import HeldCache, HeldCaches, PlacedLayer, content_key

MODEL = ModelBinding("model", "1", b"w", b"t")
LAYER = PlacedLayer(0, torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.arange(3))
CACHE = HeldCache(b"digest", 100, (LAYER,))


def request(request_id="1", caller="mia", context="a", held=()):
    info = RequestInfo(request_id, caller, deadline_ms=int(request_id) * 1000)
    return ShareRequest(info, Method.PREFIX, Text(context), "int8", MODEL, MODEL, held_digests=held)


def test_requests_for_the_same_content_have_one_key():
    """Whatever their id and deadline, and whatever they say is held."""
    assert content_key(request("1")) == content_key(request("2", held=(b"digest",)))


def test_another_caller_or_context_has_another_key():
    """As with everything that decides what is placed."""
    assert len({content_key(each) for each in (request(), request(caller="tom"), request(context="b"))}) == 3


def test_the_cache_used_longest_ago_makes_room():
    """The budget holds two; using one saves it."""
    held = HeldCaches(2 * CACHE.nbytes)
    keys = [content_key(request(context=context)) for context in "abc"]
    held.put(keys[0], CACHE)
    held.put(keys[1], CACHE)
    held.get(keys[0])
    held.put(keys[2], CACHE)
    assert [held.get(key) is not None for key in keys] == [True, False, True]


def test_a_budget_of_0_holds_nothing():
    """Every cache is sent anew."""
    held = HeldCaches(0)
    held.put(content_key(request()), CACHE)
    assert held.get(content_key(request())) is None
