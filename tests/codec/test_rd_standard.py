"""``rd`` as a standard: golden bytes, and the decoder written from the document alone, under small tables."""

import importlib.util
import struct
import sys
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.calibration import Calibration, serialize
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.quantize.base import Context, Kind
from codec.quantize.rd import analyse
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, DataLossError

GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
STEPS = {"rd-one-lane": 84, "rd-eight-lanes": 84}
LAYER = 1


def module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    found = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(found)
    return found


FRAMES, PLANES = module("standalone_decoder"), module("standalone_rd")
with np.load(GOLDEN / "rd-tables.npz") as _stored:
    TENSORS = dict(_stored)
TABLES = Calibration.parse(serialize("nobody/none", bytes(32), TENSORS), "golden tables")


def plane(z, *where):
    try:
        return PLANES.decode_plane(z, TENSORS, *where)
    except PLANES.DamagedPlaneError as error:
        raise FRAMES.DamagedError(str(error)) from None


alone = partial(FRAMES.decode, rd=plane)


def codec(step, options=""):
    return Codec(CodecSpec.parse(f"rd:step={step}{options}"), calibration=TABLES)


def layer_of(x):
    keys, values = torch.from_numpy(x)
    return LayerKV(LAYER, keys, values, RopePhase.PRE, x.shape[2])


def golden(name):
    return np.load(GOLDEN / f"{name}.source.npy").astype(np.float32), (GOLDEN / f"{name}.frame").read_bytes()


@pytest.mark.parametrize("name", STEPS)
def test_encoding_the_source_gives_the_golden_bytes(name):
    """Byte for byte; one lane and eight."""
    x, frame = golden(name)
    assert codec(STEPS[name]).encode_layer(layer_of(x)) == frame


@pytest.mark.parametrize("name", STEPS)
def test_the_document_alone_gives_the_numbers_of_a_golden_frame(name):
    """Bit for bit, with every kind of token that the document names."""
    _, frame = golden(name)
    kv, layer = codec(STEPS[name]).decode_layer(frame, Limits()), alone(frame)
    assert np.array_equal(layer.keys.view(np.uint32), kv.keys.numpy().view(np.uint32))
    assert np.array_equal(layer.values.view(np.uint32), kv.values.numpy().view(np.uint32))


@pytest.mark.parametrize("name", STEPS)
def test_a_golden_frame_holds_every_kind_of_token_and_an_escape(name):
    """Or the files above would pin less than they say."""
    x, _ = golden(name)
    ctx = Context(LAYER, Kind.KEY, 2, x.shape[2], 16, torch.arange(x.shape[2]), TABLES)
    found = analyse(torch.from_numpy(x[0]), ctx, STEPS[name])
    kinds = set(found.classes.reshape(-1).tolist())
    assert found.classes[0, 0] < 3  # a first token like calibration's
    assert found.classes[1, 0] > 3  # one coded like any other
    assert {0, 1, 2, 3} <= kinds
    assert np.abs(found.symbols()).max() > 127


@settings(max_examples=40, deadline=None)
@given(
    tokens=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    step=st.integers(60, 190),
    options=st.sampled_from(["", "+keep=0.5", "+keep=0.4,by=random,scope=head", "+entropy=zstd"]),
)
def test_the_document_alone_reads_any_frame(tokens, seed, step, options):
    """Whatever the step, the tokens kept and the magnitudes."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((2, 2, tokens, 16)) * rng.choice([0.1, 1, 5, 1000], (tokens, 1))).astype(np.float32)
    frame = codec(step, options).encode_layer(layer_of(x))
    kv, layer = codec(step, options).decode_layer(frame, Limits()), alone(frame)
    assert np.array_equal(layer.keys.view(np.uint32), kv.keys.numpy().view(np.uint32))
    assert np.array_equal(layer.values.view(np.uint32), kv.values.numpy().view(np.uint32))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_both_readers_agree_on_a_forged_plane(data):
    """Bytes changed under a checksum put right: the same floats, or a refusal by both."""
    body = bytearray(golden("rd-one-lane")[1][8:])
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    forged = b"KVF\x01" + struct.pack("<I", zlib.crc32(body)) + body
    try:
        kv = codec(STEPS["rd-one-lane"]).decode_layer(forged, Limits())
        ours = kv.keys.numpy().tobytes(), kv.values.numpy().tobytes()
    except (DataLossError, BindingError):
        ours = None
    try:
        layer = alone(forged)
        theirs = layer.keys.tobytes(), layer.values.tobytes()
    except (FRAMES.DamagedError, FRAMES.DisagreementError):
        theirs = None
    if ours is not None:  # a stream announces its spec and its limits, which the other reader is not told
        assert theirs == ours
