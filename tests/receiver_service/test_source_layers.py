"""Frames that come, and the target layers that they complete."""

from types import SimpleNamespace

import pytest
import torch

from codec.layer import LayerKV
from codec.rope import RopeTable
from codec.spec import RopePhase
from kvwire.errors import DataLossError
from kvwire.progress import Stopwatch
from receiver_service.source_layers import SourceLayers

HEADER = SimpleNamespace(kv_heads=1, source_tokens=2, head_dim=4, first_position=0)


class Codec:
    """Frames of zeros."""

    def __init__(self, tokens=2):
        self._tokens = tokens

    def decode_layer(self, frame, _limits):
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
    """As the report names them."""
    come(layers, 2)
    assert {timed.name for timed in layers.watch.stages()} == {"decode_frames", "place"}


def test_a_frame_of_another_size_than_announced_is_refused_and_has_not_come(layers):
    """It could not be placed."""
    with pytest.raises(DataLossError, match=r"\(1, 1, 3, 4\), announced were \(1, 1, 2, 4\)"):
        come(layers, 1, Codec(tokens=3))
    assert (layers.arrived, layers.payload_bytes) == (set(), 0)


def test_without_anything_to_make_all_is_made():
    """Every gate of a fuser is closed."""
    fuser = SimpleNamespace(source_layers=lambda _: (), rope=RopePhase.POST)
    assert SourceLayers(fuser, 3, lambda *_: None, RopeTable(())).share == 1.0
