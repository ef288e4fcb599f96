"""The bytes of version 1, held against files made by an independent calculation (tests/golden/codec/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codec import frame, registry
from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable
from codec.spec import CodecSpec, RopePhase

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
FRAMES = sorted(path for path in GOLDEN.glob("*.frame") if not path.stem.startswith("rd-"))  # see test_rd_standard.py


@pytest.fixture(params=FRAMES, ids=lambda path: path.stem)
def golden(request):
    return request.param


@pytest.fixture(params=[path for path in FRAMES if "zstd" not in path.stem], ids=lambda path: path.stem)
def reproducible(request):
    """Frames whose bytes are all the encoder's own; how a compressor squeezes is up to its version."""
    return request.param


def arrays(path):
    with np.load(path.with_suffix(".npz")) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored}


def spec_of(path):
    return CodecSpec.parse(frame.read(path.read_bytes(), Limits()).spec)


def bases_of(spec):
    return [spec.base, *(part.base for part in spec.mix)]


def test_every_offered_base_has_a_golden_frame():
    """A codec whose bytes are not pinned is not offered."""
    bases = {base.name for path in FRAMES for base in bases_of(spec_of(path))}
    assert bases | {"rd"} == set(registry.QUANTIZERS)  # rd: test_rd_standard.py


def test_encoding_the_source_gives_the_golden_bytes(reproducible):
    """Byte for byte."""
    stored = arrays(reproducible)
    keys, values = stored["source"]
    codec = Codec(spec_of(reproducible), RopeTable((LayerRope(stored["inv_freq"]),) * 6))
    kv = LayerKV(5, keys, values, RopePhase.POST, keys.shape[1], attention=stored.get("attention"))
    data = codec.encode_layer(kv, stored["positions"])
    assert data == reproducible.read_bytes()


def test_decoding_the_golden_bytes_gives_the_independent_numbers(golden):
    """Bit for bit, and the kept slots."""
    stored, back = arrays(golden), decode_layer(golden.read_bytes(), Limits())
    assert torch.equal(back.keys, stored["keys"])
    assert torch.equal(back.values, stored["values"])
    if "slots" in stored:
        assert torch.equal(back.slots, stored["slots"])
    else:
        assert back.slots is None
