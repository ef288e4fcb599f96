"""Frames that come, and the target layers that they complete."""

from types import SimpleNamespace

import pytest
import torch

from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable, unrotate
from codec.spec import RopePhase
from kvwire.errors import DataLossError
from kvwire.progress import Stopwatch, listener
from receiver_service.source_layers import SourceLayers

HEADER = SimpleNamespace(kv_heads=1, source_tokens=2, head_dim=4, first_position=0)


class Codec:
    """Frames of zeros; notes within which limits they were read."""

    def __init__(self, tokens=2):
        self._tokens = tokens
        self.limits = None

    def decode_layer(self, frame, limits):
        self.limits = limits
        zeros = torch.zeros(1, self._tokens, 4)
        return LayerKV(frame[0], zeros, zeros, RopePhase.POST, self._tokens)


@pytest.fixture
def layers():
    """Target 0 needs source 1, target 1 sources 1 and 2, target 2 none."""
    needed = [(1,), (1, 2), ()]
    fuser = SimpleNamespace(source_layers=lambda target: needed[target], rope=RopePhase.POST)
    made = []
    found = SourceLayers(
        fuser, len(needed), lambda target, sources: made.append((target, sorted(sources))), RopeTable(())
    )
    found.made, found.watch = made, Stopwatch("receiver")
    return found


def come(layers, layer, codec=None):
    layers.decoding(codec or Codec(), (layer, bytes([layer, 0, 0])), HEADER, None, layers.watch)()


def test_a_target_is_made_as_soon_as_all_its_sources_are_there(layers):
    """And a source is kept as long as one waits for it."""
    come(layers, 1)
    assert (layers.made, layers.share, layers.arrived) == ([(0, [1])], 0.5, {1})
    come(layers, 2)
    assert (layers.made, layers.share, layers.arrived) == ([(0, [1]), (1, [1, 2])], 1.0, {1, 2})
    assert not layers._sources


def test_the_bytes_of_frames_that_were_read_are_counted(layers):
    """Three each."""
    come(layers, 2)
    come(layers, 1)
    assert layers.payload_bytes == 6


def test_decoding_and_placing_are_timed_by_layer(layers):
    """As the report names them, and a trace."""
    stretches = []
    token = listener.set(stretches.append)
    layers.watch = Stopwatch("receiver")
    listener.reset(token)
    come(layers, 2)
    assert [(each.stage, each.layer) for each in stretches] == [("decode_frames", 2), ("place", 2)]


def test_frames_are_read_within_the_receivers_limits(layers):
    """A sharer's word is not taken for how large they are."""
    codec = Codec()
    layers.decoding(codec, (1, bytes([1, 0, 0])), HEADER, limits := Limits(max_tokens=2), layers.watch)()
    assert codec.limits is limits


def test_keys_come_in_the_phase_that_the_fuser_takes():
    """Turned back by the sharer's angles from where its tokens stood."""
    keys = torch.randn(1, 2, 4, generator=torch.Generator().manual_seed(0))
    kv = LayerKV(0, keys, keys, RopePhase.POST, 2)
    codec = SimpleNamespace(decode_layer=lambda *_: kv)
    fuser = SimpleNamespace(source_layers=lambda _: (0,), rope=RopePhase.PRE)
    ropes, made = RopeTable((LayerRope(torch.tensor([1.0, 0.5])),)), []
    layers = SourceLayers(fuser, 1, lambda _, sources: made.append(sources), ropes)
    header = SimpleNamespace(**vars(HEADER) | {"first_position": 5})
    layers.decoding(codec, (0, b""), header, Limits(), Stopwatch("receiver"))()
    [sources] = made
    assert sources[0].rope is RopePhase.PRE
    assert torch.equal(sources[0].keys, unrotate(keys, torch.tensor([5, 6]), ropes.layers[0]))


def test_a_frame_of_another_size_than_announced_is_refused_and_has_not_come(layers):
    """It could not be placed."""
    with pytest.raises(DataLossError, match=r"\(1, 1, 3, 4\), announced were \(1, 1, 2, 4\)"):
        come(layers, 1, Codec(tokens=3))
    assert (layers.arrived, layers.payload_bytes) == (set(), 0)


def test_without_anything_to_make_all_is_made():
    """Every gate of a fuser is closed."""
    fuser = SimpleNamespace(source_layers=lambda _: (), rope=RopePhase.POST)
    assert SourceLayers(fuser, 3, lambda *_: None, RopeTable(())).share == 1.0
