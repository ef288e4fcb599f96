"""The document suffices: a decoder written from it alone gives what `codec` gives, bit for bit."""

import ast
import importlib.util
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import frame, registry
from codec.codec import Codec, decode_layer
from codec.frame import Frame, Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, DataLossError

SOURCE = Path(__file__).with_name("standalone_decoder.py")
GOLDEN = Path(__file__).parents[1] / "golden" / "codec"
FRAMES = sorted(path for path in GOLDEN.glob("*.frame") if not path.stem.startswith("rd-"))  # see test_rd_standard.py
SPECS = (
    *("fp32", "fp16", "bf16", "fp8", "fp8:per=token"),
    *("int8", "int8:center=auto", "int8:per=head,center=channel"),
    *("int4", "int4:block=5", "int4:center=none", "nf4", "nf4:block=32,center=channel"),
    *("kivi", "kivi:bits=2,group=3", "kivi:bits=3,group=5"),
    *("hadamard", "hadamard:bits=2", "hadamard:bits=3,center=none", "hadamard:bits=5,center=channel"),
    *("fp16+rope=pre", "int4+keep=0.3,scope=head+rope=pre", "kivi+keep=0.00002,by=key_norm,sinks=2"),
    *("int8+keep=0.5,by=random", "hadamard+keep=0.6,by=value_norm,scope=head,sinks=1"),
    *("nf4+of=latents", "int8+keep=0.5+mix=k@fp16+of=latents"),
    *("int8+entropy=zstd", "fp32+keep=0.5+entropy=zstd+mix=k@kivi"),
    "bf16+mix=vL0-3@omit/vL4-5H1-1@omit",
    "int4+mix=L0-3@fp8/kL4-5H1-1@hadamard/vL4-5H0-0@nf4",
)


def standalone():
    spec = importlib.util.spec_from_file_location(SOURCE.stem, SOURCE)
    module = sys.modules[SOURCE.stem] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


STANDALONE = standalone()


def same_bits(floats, others):
    """Equal as numbers and in the sign of zeros."""
    return floats.shape == others.shape and floats.tobytes() == np.ascontiguousarray(others).tobytes()


def assert_same(layer, kv, spec):
    """All that both readers tell of a frame is the same."""
    assert same_bits(layer.keys, kv.keys.numpy())
    assert same_bits(layer.values, kv.values.numpy())
    assert (layer.spec, layer.layer, layer.tokens) == (spec, kv.layer, kv.tokens)
    assert layer.keys_after_rope is (kv.rope is RopePhase.POST)
    assert (layer.slots is None and kv.slots is None) or np.array_equal(layer.slots, kv.slots.numpy())


@st.composite
def layers(draw):
    """Keys and values, (kv_heads, tokens, head_dim), with what codecs stumble over: biases, outliers, zeros."""
    heads, tokens, channels = draw(st.integers(1, 3)), draw(st.integers(1, 70)), draw(st.integers(2, 80))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (2, heads, tokens, channels)
    x = rng.standard_normal(shape) * 10.0 ** draw(st.integers(-6, 1))
    x += draw(st.sampled_from([0, 1, 30])) * rng.standard_normal((2, heads, 1, channels))
    x[rng.random(shape) < draw(st.sampled_from([0, 0.01, 1]))] *= draw(st.sampled_from([0.0, -0.0, 50.0]))
    keys, values = torch.from_numpy(x.astype(np.float32))
    return LayerKV(draw(st.integers(0, 7)), keys, values, RopePhase.POST, tokens)


def encoded(spec, kv):
    rope = RopeTable((LayerRope(torch.logspace(0, -3, kv.keys.shape[-1] // 2)),) * 8)
    return Codec(CodecSpec.parse(spec), rope).encode_layer(kv, torch.arange(kv.tokens))


def verdict(decode, disagreement, damage, data):
    """What a reader says of bytes: the floats' bytes, or which of its two refusals."""
    try:
        read = decode(data)
    except disagreement:
        return "FAILED_PRECONDITION"
    except damage:
        return "DATA_LOSS"
    return np.asarray(read.keys).tobytes(), np.asarray(read.values).tobytes()


def verdicts(data):
    """What both readers say of bytes; one thing if they agree."""
    return {
        verdict(STANDALONE.decode, STANDALONE.DisagreementError, STANDALONE.DamagedError, data),
        verdict(lambda data: decode_layer(data, Limits(max_layers=1 << 20)), BindingError, DataLossError, data),
    }


def test_the_decoder_stands_alone():
    """It imports the standard library, numpy and zstandard: nothing that could hide a gap in the document."""
    imports = [
        node for node in ast.walk(ast.parse(SOURCE.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    modules = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports}
    assert {module.split(".")[0] for module in modules} <= sys.stdlib_module_names | {"numpy", "zstandard"}


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_it_reads_a_golden_frame_as_the_file_beside_it_and_as_codec_does(path):
    """Bit for bit, and the kept slots."""
    data = path.read_bytes()
    layer, kv = STANDALONE.decode(data), decode_layer(data, Limits())
    with np.load(path.with_suffix(".npz")) as stored:
        assert same_bits(layer.keys, stored["keys"])
        assert same_bits(layer.values, stored["values"])
        assert (layer.slots is not None) == ("slots" in stored)
        assert layer.slots is None or np.array_equal(layer.slots, stored["slots"])
    assert_same(layer, kv, layer.spec)


def test_every_offered_base_is_among_the_specs():
    """A new base is read by the stand-alone decoder too, or this fails; rd in test_rd_standard.py."""
    specs = [CodecSpec.parse(spec) for spec in SPECS]
    bases = {base.name for spec in specs for base in (spec.base, *(part.base for part in spec.mix))}
    assert bases == set(registry.QUANTIZERS) - {"rd"}


@pytest.mark.parametrize("spec", SPECS)
@given(kv=layers())
@settings(max_examples=25, deadline=None)
def test_it_reads_any_frame_as_codec_does(spec, kv):
    """Whatever the numbers and the shape."""
    data = encoded(spec, kv)
    assert_same(STANDALONE.decode(data), decode_layer(data, Limits()), str(CodecSpec.parse(spec)))


@pytest.mark.parametrize("more", [0, 1])
def test_both_readers_take_eight_tokens_to_a_byte_and_no_more(more):
    """A frame that leaves everything out promises the most for its length."""

    def written(tokens):
        return frame.write(Frame("bf16+mix=H0-0@omit", 0, 1, 1, tokens, RopePhase.POST, None, (), ()))

    tokens = 8 * (len(written(200)) - 8) + more
    nothing = np.zeros(tokens, np.float32).tobytes()
    assert verdicts(written(tokens)) == ({"DATA_LOSS"} if more else {(nothing, nothing)})


@pytest.mark.parametrize("mix", ["L0-0@omit", "k@omit/v@omit", "kL0-1@omit/vL1-2@omit"])
def test_both_readers_refuse_a_mix_that_leaves_nothing_of_a_layer(mix):
    """Whatever layer the frame is of."""
    data = frame.write(Frame(f"bf16+mix={mix}", 0, 1, 1, 1, RopePhase.POST, None, (), ()))
    assert verdicts(data) == {"DATA_LOSS"}


def test_a_flipped_bit_is_refused():
    """Each bit of a whole frame, one at a time."""
    data = min((path.read_bytes() for path in FRAMES), key=len)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((STANDALONE.DamagedError, STANDALONE.DisagreementError)):
            STANDALONE.decode(bytes(flipped))


@given(data=st.data())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_both_readers_agree_on_a_forged_frame(data):
    """Bytes changed, cut or added under a checksum put right: both give the same floats, or the same refusal."""
    body = bytearray(data.draw(st.sampled_from(FRAMES)).read_bytes()[8:])
    at = data.draw(st.integers(0, min(120, len(body) - 1)))  # headers stand first; a payload's byte is seldom a fault
    body[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    assert len(verdicts(b"KVF\x01" + struct.pack("<I", zlib.crc32(body)) + body)) == 1
