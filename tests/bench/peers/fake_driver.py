"""A made-up driver that tests the exchange with drivers; it is no peer, and no result is ever taken from it."""

import os
import threading

import torch


class Half:
    """float16, every second token if asked."""

    def __init__(self, every):
        self._every = every

    def encode(self, cache):
        print("libraries print")  # and must not disturb the exchange
        return [cache[name][:, :, :: self._every].half() for name in ("keys", "values")]

    def size(self, encoded):
        return sum(half.nbytes for half in encoded)

    def decode(self, encoded):
        return {name: half.float().flip(2) for name, half in zip(("keys", "values"), encoded, strict=True)}

    def slots(self, _encoded, cache):
        layers, heads, tokens, _ = cache["keys"].shape
        return torch.arange(0, tokens, self._every).flip(0).expand(layers, heads, -1)


class Fails:
    """In one way or another."""

    def __init__(self, way):
        self._way = way

    def encode(self, cache):
        if self._way == "raise":
            raise AssertionError("too short for me")
        if self._way == "die":
            print("last words", flush=True)
            os._exit(3)
        if self._way == "hang":
            threading.Event().wait()
        return cache

    def size(self, _encoded):
        return 1

    def decode(self, encoded):
        keys, values = encoded["keys"], encoded["values"]
        if self._way == "nan":
            return {"keys": keys / 0, "values": values}
        return {"keys": keys[:1], "values": values}


def make(codec, model):
    """``half``, ``every second``, or a way to fail."""
    assert model.is_dir()
    if codec in {"half", "every second"}:
        return Half(1 if codec == "half" else 2)
    return Fails(codec)
