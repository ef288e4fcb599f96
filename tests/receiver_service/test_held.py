"""Caches that a receiver holds, and by what they are found again."""

from dataclasses import replace

import torch

from kvwire.model_card import ModelBinding
from kvwire.requests import FaultPolicy, Method, RequestInfo, Text
from kvwire.stream import ShareRequest
from receiver_service.held import HeldCache, PlacedLayer, content_key, held_caches

MODEL = ModelBinding("model", "1", b"w", b"t")
LAYER = PlacedLayer(0, torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.arange(3))
CACHE = HeldCache(b"digest", 100, (LAYER,))


def request(request_id="1", caller="mia", context="a", held=()):
    info = RequestInfo(request_id, caller, deadline_ms=int(request_id) * 1000)
    return ShareRequest(info, Method.PREFIX, Text(context), "int8", MODEL, MODEL, held_digests=held)


def test_requests_for_the_same_content_have_one_key():
    """Whatever their id and deadline, and whatever they say is held."""
    assert content_key(request("1")) == content_key(request("2", held=(b"digest",)))


def test_what_is_to_be_done_at_a_fault_decides_nothing_that_is_placed():
    """What came under one policy is found under another."""
    assert content_key(request()) == content_key(replace(request(), on_fault=FaultPolicy.PARTIAL))


def test_another_caller_or_context_has_another_key():
    """As with everything that decides what is placed."""
    assert len({content_key(each) for each in (request(), request(caller="tom"), request(context="b"))}) == 3


def test_a_cache_counts_by_its_tensors():
    """Keys, values and positions."""
    held = held_caches(CACHE.nbytes - 1)
    held.put(content_key(request()), CACHE)
    assert held.get(content_key(request())) is None
    assert CACHE.nbytes == 2 * 2 * 3 * 4 * 4 + 3 * 8
