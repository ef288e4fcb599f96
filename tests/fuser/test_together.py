"""Layers of several sharers are fused in the sharers' order; one that ends early is left out."""

import torch

from fuser.together import Together
from kvwire.requests import FusionOrder


class Doubling:
    """Stands for a fuser: writes down its name, so that the order shows."""

    def __init__(self, factor):
        self.factor = factor

    def source_layers(self, target):
        return (target,)

    def fuse(self, _target, _sources, keys, values):
        return keys * 10 + self.factor, values * 10 + self.factor


class Cache:
    def __init__(self, layers):
        self.layers = [(torch.zeros(1), torch.zeros(1)) for _ in range(layers)]

    def layer(self, layer):
        return self.layers[layer]

    def replace(self, layer, keys, values):
        self.layers[layer] = (keys, values)

    def digits(self):
        return [int(keys) for keys, _ in self.layers]


def three(cache):
    return Together([Doubling(each) for each in (1, 2, 3)], cache, len(cache.layers), FusionOrder.SEQUENTIAL)


def test_layers_are_fused_in_the_sharers_order_however_they_come():
    """The first one's comes last."""
    cache = Cache(1)
    together = three(cache)
    for sharer in (2, 1, 0):
        together.arrived(sharer, 0, {})
    assert cache.digits() == [123]


def test_what_waited_for_a_sharer_that_ends_is_fused_without_it():
    """Layer 0 of it came, layer 1 did not."""
    cache = Cache(2)
    together = three(cache)
    together.arrived(0, 0, {})
    for target in (0, 1):
        together.arrived(1, target, {})
        together.arrived(2, target, {})
    assert cache.digits() == [123, 0]
    together.ended(0)
    assert cache.digits() == [123, 23]


def test_a_layer_that_came_in_time_is_fused_though_its_sharer_ended():
    """It only waits for its turn."""
    cache = Cache(1)
    together = three(cache)
    together.arrived(1, 0, {})
    together.ended(1)
    together.arrived(2, 0, {})
    together.arrived(0, 0, {})
    assert cache.digits() == [123]
