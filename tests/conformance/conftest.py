"""How tests make each fuser; a new one adds a row to ``MAKERS``, for a sharer and a receiver of the shapes below."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from codec.layer import LayerKV
from fuser.base import Fuser
from fuser.binding import Pairing, Side
from fuser.official.layout import read_official
from fuser.projectors import c2c_file, ridge_file
from fuser.projectors.ridge import Band, Openings, RidgeFuser
from fuser.registry import Fusers
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope

TOKENS = 7
OPEN, CLOSED = {"key": 0.5, "value": 1.0}, {"key": -0.5, "value": -1.0}


def random(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def card(name, layers, kv_heads, head_dim):
    binding = ModelBinding(name, "1", name.encode().ljust(32, b"w"), b"t" * 32)
    ropes = (Rope("default", (1.0,), 1.0),)
    return ModelCard(
        binding, "llama", "", "float32", "cpu", kv_heads, head_dim, 9, 99, ropes, (LayerCard(0, 0),) * layers
    )


@dataclass(frozen=True)
class Made:
    """A fuser, its pair, how to write it to a file, and a target layer that is open and one that is closed."""

    fuser: Fuser
    sharer: ModelCard
    receiver: ModelCard
    write: Callable | None
    open_target: int = 0
    closed_target: int | None = None
    tokens: int = TOKENS

    def sources(self, target, slots=None, seed=0):
        """The sharer's layers that a target takes, pruned to ``slots``."""
        kept = TOKENS if slots is None else slots.shape[-1]
        shape = (self.sharer.kv_heads, kept, self.sharer.head_dim)
        return {
            layer: LayerKV(
                layer, random(shape, seed + layer), random(shape, seed + 50 + layer), self.fuser.rope, TOKENS, slots
            )
            for layer in self.fuser.source_layers(target)
        }

    def own(self):
        """The receiver's keys and values."""
        shape = (self.receiver.kv_heads, TOKENS, self.receiver.head_dim)
        return random(shape, 98), random(shape, 99)


def identity(_folder, _official_c2c):
    same = card("one model", 3, 2, 8)
    return Made(Fusers().named("identity"), same, same, None)


def c2c(folder, official_c2c):
    sharer, receiver = card("sharer", 3, 2, 8), card("receiver", 4, 3, 6)
    gates = [CLOSED, OPEN, OPEN, OPEN]
    official = official_c2c.write_checkpoint(folder / "official", (3, 2, 8), (4, 3, 6), gates)
    fuser = read_official(official).bound(sharer.binding, receiver.binding)
    write = partial(c2c_file.write, made={"how": "a test"})
    return Made(fuser, sharer, receiver, write, open_target=1, closed_target=0)


def ridge(_folder, _official_c2c):
    sharer, receiver = card("sharer", 3, 2, 8), card("receiver", 4, 3, 6)
    pairing = Pairing(Side.of(sharer), Side.of(receiver))
    bands = [Band((0, 1), (0, 1), 5, bend=3), Band((0, 1, 2), (2, 3), 7)]
    # Of 16 bits, as they are in a file.
    tensors = {
        name: random(shape, at).half().float()
        for at, (name, shape) in enumerate(RidgeFuser.shapes(bands, pairing).items())
    }
    tensors |= {name: tensor.abs() + 0.5 for name, tensor in tensors.items() if name.endswith("spread")}
    tensors["0.bend_out"] /= 16
    fuser = RidgeFuser(bands, tensors, pairing, Openings((3,), (4,)))
    return Made(fuser, sharer, receiver, lambda fuser, path: ridge_file.write(fuser, path, {"how": "a test"}))


MAKERS = {"identity": identity, "c2c": c2c, "ridge": ridge}


@pytest.fixture
def makers():
    return MAKERS


@pytest.fixture(params=MAKERS)
def made(request, tmp_path, official_c2c):
    return MAKERS[request.param](tmp_path, official_c2c)
