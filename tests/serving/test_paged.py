"""Tokens out of an engine's blocks and back: every layout, and nobody else's tokens touched."""

import pytest
import torch

from kvwire.errors import InvalidRequestError
from serving.paged import LAYOUTS, PagedLayer, slots_of

BLOCKS, HEADS, SIZE, DIM = 7, 2, 4, 3
SHAPES = {
    "content": (BLOCKS, HEADS, SIZE, 2 * DIM),
    "outermost": (2, BLOCKS, SIZE, HEADS, DIM),
    "in_block": (BLOCKS, 2, SIZE, HEADS, DIM),
}

#: Where a layout has a number: of keys (0) or values (1), of a block, head, place in the block and channel.
PLACES = {
    "content": lambda half, block, head, place, channel: (block, head, place, half * DIM + channel),
    "outermost": lambda half, block, head, place, channel: (half, block, place, head, channel),
    "in_block": lambda half, block, head, place, channel: (block, half, place, head, channel),
}

layouts = pytest.mark.parametrize("layout", SHAPES)


def numbered(layout):
    """A cache whose numbers are all different, and the layer of it."""
    shape = torch.Size(SHAPES[layout])
    cache = torch.arange(shape.numel(), dtype=torch.float32).reshape(shape)
    return cache, PagedLayer(cache, layout, HEADS, DIM)


def test_every_layout_has_a_test():
    """The shapes above are all there are."""
    assert SHAPES.keys() == LAYOUTS.keys()


@layouts
def test_a_token_is_gathered_from_its_place(layout):
    """Of the block that its slot is in, number by number."""
    cache, layer = numbered(layout)
    slots = slots_of([5, 2], SIZE, 1, 7)
    halves = layer.gather(slots)
    for half in (0, 1):
        assert halves[half].shape == (HEADS, 6, DIM)
        for token in range(6):
            block, place = ([5, 2][(token + 1) // SIZE], (token + 1) % SIZE)
            for head in range(HEADS):
                for channel in range(DIM):
                    expected = cache[PLACES[layout](half, block, head, place, channel)]
                    assert halves[half][head, token, channel] == expected


@layouts
def test_what_is_scattered_is_gathered_again_and_nothing_else_moves(layout):
    """Into the engine's own tensor, whose other numbers stay."""
    cache, layer = numbered(layout)
    before, slots = cache.clone(), slots_of([6, 0, 3], SIZE, 2, 11)
    keys, values = -torch.rand(HEADS, 9, DIM) - 1, -torch.rand(HEADS, 9, DIM) - 1
    layer.scatter(slots, keys, values)
    assert all(torch.equal(got, put) for got, put in zip(layer.gather(slots), (keys, values), strict=True))
    changed = cache != before
    assert int(changed.sum()) == 2 * 9 * HEADS * DIM
    assert bool((cache[changed] < 0).all())


@pytest.mark.parametrize(
    "order", [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3)], ids=["HNC", "NHC", "heads outside blocks"]
)
def test_the_order_in_memory_does_not_matter(order):
    """The engine strides one logical view over whatever its kernels want."""
    shape = SHAPES["content"]
    memory = torch.zeros([shape[axis] for axis in order])
    cache = memory.permute([order.index(axis) for axis in range(4)])
    layer = PagedLayer(cache, "content", HEADS, DIM)
    keys, values = torch.rand(HEADS, 5, DIM), torch.rand(HEADS, 5, DIM)
    layer.scatter(slots_of([1, 4], SIZE, 0, 5), keys, values)
    assert torch.equal(cache[4, :, 0, :DIM], keys[:, 4])
    assert torch.equal(cache[1, :, 2, DIM:], values[:, 2])


def test_a_cache_of_16_bits_is_rounded_once():
    """As the engine itself would round."""
    cache = torch.zeros(SHAPES["content"], dtype=torch.bfloat16)
    layer = PagedLayer(cache, "content", HEADS, DIM)
    keys = torch.rand(HEADS, 3, DIM)
    layer.scatter(slots_of([1], SIZE, 0, 3), keys, keys)
    assert torch.equal(layer.gather(slots_of([1], SIZE, 0, 3))[0], keys.to(torch.bfloat16))


def test_blocks_of_the_scheduler_may_be_several_of_the_kernels():
    """A slot counts tokens, so blocks of 8 over kernels' blocks of 4 need nothing else."""
    cache, layer = numbered("content")
    got = layer.gather(slots_of([2], 2 * SIZE, 0, 8))[0]
    assert torch.equal(got[:, :4], cache[4, :, :, :DIM])
    assert torch.equal(got[:, 4:], cache[5, :, :, :DIM])


@pytest.mark.parametrize(
    ("cache", "layout", "said"),
    [
        (torch.zeros(7, 2, 4, 6), "unheard", "no layout is named"),
        (torch.zeros(2, 7, 4, 2, 3), "content", "not of layout content"),
        (torch.zeros(7, 2, 4, 6, dtype=torch.uint8), "content", "quantization"),
        (torch.zeros(7, 2, 4, 6).to(torch.float8_e4m3fn), "content", "quantization"),
        (torch.zeros(7, 1, 4, 7), "content", "not of 2 kv heads of 3"),
        (torch.zeros(4, 7, 4, 2, 3), "outermost", "name another layout"),
    ],
)
def test_a_cache_that_is_not_of_the_layout_is_refused(cache, layout, said):
    """With its shape, before a token is read."""
    with pytest.raises(InvalidRequestError, match=said):
        PagedLayer(cache, layout, HEADS, DIM)


def test_blocks_that_are_missing_are_noticed():
    """Rather than another request's tokens read."""
    with pytest.raises(InvalidRequestError, match="blocks are missing"):
        slots_of([3], SIZE, 0, 5)
