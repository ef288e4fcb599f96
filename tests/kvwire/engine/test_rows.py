"""Memory of sequences that decode together stays within what each was admitted for."""

import numpy as np
import torch

from kvwire.engine.rows import longest_beside


def held_bytes(rows):
    tensors = (t for layer in rows._layers for t in (layer.keys, layer.values, layer.positions))
    return sum(tensor.nbytes for tensor in tensors)


def cache_of(engine, slots):
    cache, card = engine.new_cache(), engine.card
    for layer in range(len(card.layers)):
        keys, values = torch.randn(2, card.kv_heads, slots, card.head_dim)
        cache.place(layer, keys, values, torch.arange(slots).expand(card.kv_heads, -1))
    return cache


def test_rows_never_take_more_than_their_sequences_were_admitted_for(engine):
    """Whatever their lengths in a group, in whatever order they come and go."""
    draw = np.random.default_rng(1)
    rows, lengths, most = engine.new_rows(), [], 0
    for _ in range(120):
        if lengths and draw.random() < 0.45:
            row = int(draw.integers(len(lengths)))
            rows.drop(row)
            lengths[row] = lengths[-1]
            lengths.pop()
        else:
            slots = int(draw.integers(257, 512))
            assert longest_beside(slots) == 1024
            rows.join(cache_of(engine, slots))
            lengths.append(slots)
        assert held_bytes(rows) <= sum(map(engine.answer_bytes, lengths))
        most = max(most, len(lengths))
    assert most > 8


def test_a_cache_that_joins_is_not_held_twice(engine):
    """It moves: a row has what the cache had, the cache nothing."""
    rows, cache = engine.new_rows(), cache_of(engine, 9)
    before = [cache.layer(layer) for layer in range(len(engine.card.layers))]
    rows.join(cache)
    assert cache.keys == cache.values == cache.positions == [None] * len(before)
    back = rows.row(0)
    for layer, (keys, values) in enumerate(before):
        assert torch.equal(back.layer(layer)[0], keys)
        assert torch.equal(back.layer(layer)[1], values)
