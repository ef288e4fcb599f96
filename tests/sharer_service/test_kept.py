"""Caches kept on the sharer."""

import torch

from sharer_service.kept import ContextKey, KeptCaches

MIA = ContextKey("mia", (), (1, 2))
LAYERS = [(0, torch.zeros(2, 2, 4), torch.ones(2, 2, 4), None)]
ONE_CACHE_BYTES = 2 * 2 * 2 * 4 * 4


def test_a_kept_cache_is_found_by_its_caller_and_tokens():
    """Another caller, head or context is another cache."""
    kept = KeptCaches(ONE_CACHE_BYTES)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) == tuple(LAYERS)
    others = (ContextKey("tom", (), (1, 2)), ContextKey("mia", (1,), (2,)), ContextKey("mia", (), (1,)))
    assert [kept.get(other) for other in others] == [None] * 3


def test_the_cache_used_longest_ago_makes_room():
    """The budget holds two; using one saves it."""
    kept = KeptCaches(2 * ONE_CACHE_BYTES)
    keys = [ContextKey("mia", (), (n,)) for n in range(3)]
    kept.put(keys[0], LAYERS)
    kept.put(keys[1], LAYERS)
    kept.get(keys[0])
    kept.put(keys[2], LAYERS)
    assert [kept.get(key) is not None for key in keys] == [True, False, True]


def test_a_cache_read_again_takes_the_place_of_the_first():
    """It counts once: the budget of two still has room for another."""
    kept = KeptCaches(2 * ONE_CACHE_BYTES)
    other = ContextKey("mia", (), (3,))
    observed = [(*layer[:3], torch.ones(2, 2)) for layer in LAYERS]
    kept.put(other, LAYERS)
    kept.put(MIA, LAYERS)
    kept.put(MIA, observed)
    assert kept.get(MIA) == tuple(observed)
    assert kept.get(other) is not None


def test_a_budget_of_0_keeps_nothing():
    """Every context is read anew."""
    kept = KeptCaches(0)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) is None
