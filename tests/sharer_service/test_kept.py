"""Caches kept on the sharer."""

from dataclasses import replace

import torch

from kvwire.stream import Frame
from sharer_service.kept import ContextKey, FramesKey, KeptCaches

MIA = ContextKey("mia", (), (1, 2))
LAYERS = ((0, torch.zeros(2, 2, 4), torch.ones(2, 2, 4), None),)
ONE_CACHE_BYTES = 2 * 2 * 2 * 4 * 4


def test_a_kept_cache_is_found_by_its_caller_and_tokens():
    """Another caller, head or context is another cache."""
    kept = KeptCaches(ONE_CACHE_BYTES)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) == LAYERS
    others = (ContextKey("tom", (), (1, 2)), ContextKey("mia", (1,), (2,)), ContextKey("mia", (), (1,)))
    assert [kept.get(other) for other in others] == [None] * 3


def test_a_cache_counts_by_its_keys_and_values():
    """One byte less of a budget does not hold it."""
    kept = KeptCaches(ONE_CACHE_BYTES - 1)
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) is None


def test_observed_attention_counts_too():
    """It is kept with the layer that drew it."""
    kept = KeptCaches(ONE_CACHE_BYTES + 2 * 2 * 4 - 1)
    kept.put(MIA, [(*LAYERS[0][:3], torch.zeros(2, 2))])
    assert kept.get(MIA) is None
    kept.put(MIA, LAYERS)
    assert kept.get(MIA) is not None


def test_a_kept_cache_keeps_no_more_memory_than_it_counts():
    """A layer is part of what a whole pass computed, for others too."""
    computed = torch.arange(800.0).reshape(2, 100, 4)
    kept = KeptCaches(1 << 20)
    kept.put(MIA, [(0, computed[:, 1:3], computed[:, 3:5], computed[:, 1:3, 0])])
    [(_, *tensors)] = kept.get(MIA)
    for found, part in zip(tensors, (computed[:, 1:3], computed[:, 3:5], computed[:, 1:3, 0]), strict=True):
        assert torch.equal(found, part)
        assert found.untyped_storage().nbytes() == part.nbytes


def test_frames_are_found_by_context_codec_tables_and_layers():
    """And by nothing less."""
    kept, key = KeptCaches(100), FramesKey(MIA, "int8", b"", frozenset({0}))
    kept.put_frames(key, [Frame(0, b"frame")])
    assert kept.frames(key) == (Frame(0, b"frame"),)
    others = (
        replace(key, context=ContextKey("tom", (), (1, 2))),
        replace(key, codec="fp16"),
        replace(key, tables=b"t"),
        replace(key, layers=frozenset({0, 1})),
    )
    assert [kept.frames(other) for other in others] == [None] * 4


def test_frames_count_against_the_same_budget_as_caches():
    """What was used longest ago makes room, whichever it is."""
    kept = KeptCaches(ONE_CACHE_BYTES + 4)
    kept.put(MIA, LAYERS)
    keys = [FramesKey(MIA, codec, b"", frozenset({0})) for codec in ("int8", "int4")]
    for key in keys:
        kept.put_frames(key, [Frame(0, b"four")])
    assert kept.get(MIA) is None
    assert all(kept.frames(key) for key in keys)
