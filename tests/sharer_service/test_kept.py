"""Caches kept on the sharer."""

import torch

from sharer_service.kept import ContextKey, kept_caches

MIA = ContextKey("mia", (), (1, 2))
LAYERS = ((0, torch.zeros(2, 2, 4), torch.ones(2, 2, 4), None),)
ONE_CACHE_BYTES = 2 * 2 * 2 * 4 * 4


def test_a_kept_cache_is_found_by_its_caller_and_tokens():
    """Another caller, head or context is another cache."""
    kept = kept_caches(ONE_CACHE_BYTES)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) == LAYERS
    others = (ContextKey("tom", (), (1, 2)), ContextKey("mia", (1,), (2,)), ContextKey("mia", (), (1,)))
    assert [kept.get(other) for other in others] == [None] * 3


def test_a_cache_counts_by_its_keys_and_values():
    """One byte less of a budget does not hold it."""
    kept = kept_caches(ONE_CACHE_BYTES - 1)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) is None
