"""A receiver's slots take what the sharer's tokens became."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.slots import at_slots


def layer(tokens, slots=None):
    """Every number of a token is its index."""
    kept = torch.arange(tokens) if slots is None else torch.tensor(slots, dtype=torch.int64)
    keys = kept[None, :, None].float().expand(2, -1, 3)
    return LayerKV(0, keys, -keys, RopePhase.PRE, tokens, None if slots is None else kept)


def test_without_a_map_slots_are_the_tokens():
    """The layer comes back as it is."""
    kv = layer(4, [0, 2])
    assert at_slots(kv, None) is kv


@given(st.data())
def test_each_slot_takes_its_source_token_if_that_was_kept(data):
    """And is absent otherwise, whatever was pruned."""
    tokens = data.draw(st.integers(1, 12))
    kept = data.draw(st.none() | st.sets(st.integers(0, tokens - 1), min_size=1).map(sorted))
    sources = data.draw(st.lists(st.integers(0, tokens - 1), min_size=1, max_size=20))
    found = at_slots(layer(tokens, kept), sources)
    wanted = [(slot, source) for slot, source in enumerate(sources) if kept is None or source in kept]
    slots = list(range(len(sources))) if found.slots is None else found.slots.tolist()
    assert list(zip(slots, found.keys[0, :, 0].tolist(), strict=True)) == wanted
    assert torch.equal(found.values, -found.keys)
    assert found.tokens == len(sources)
