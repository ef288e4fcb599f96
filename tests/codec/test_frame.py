"""Frames: what goes in comes out, and nothing damaged or hostile gets through."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec import entries, frame
from codec.codec import Codec, decode_layer
from codec.frame import Frame, Limits
from codec.layer import LayerKV, bits_per_value
from codec.planes import Plane
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, DataLossError, InvalidRequestError

LIMITS = Limits()


def codec(spec):
    return Codec(CodecSpec.parse(spec))


def layer_kv(heads=2, tokens=5, head_dim=4, *, layer=3, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    keys, values = (torch.randn(heads, tokens, head_dim, generator=generator).to(dtype) for _ in range(2))
    return LayerKV(layer, keys, values, RopePhase.POST, tokens)


@given(
    heads=st.integers(1, 4),
    tokens=st.integers(1, 9),
    head_dim=st.integers(1, 9),
    dtype=st.sampled_from([torch.float32, torch.bfloat16, torch.float16]),
    layer=st.integers(0, 999),
)
def test_an_fp32_frame_gives_back_exactly_what_was_encoded(heads, tokens, head_dim, dtype, layer):
    """Keys, values, layer, phase and tokens, for any shape and input dtype."""
    kv = layer_kv(heads, tokens, head_dim, layer=layer, dtype=dtype)
    back = decode_layer(codec("fp32").encode_layer(kv), LIMITS)
    assert torch.equal(back.keys, kv.keys.float())
    assert torch.equal(back.values, kv.values.float())
    assert (back.layer, back.rope, back.tokens, back.slots) == (layer, RopePhase.POST, tokens, None)


def test_a_transposed_view_encodes_like_its_contiguous_copy():
    """Strides are no part of the value."""
    kv = layer_kv()
    strided = LayerKV(3, kv.keys.mT.contiguous().mT, kv.values.mT.contiguous().mT, kv.rope, kv.tokens)
    assert not strided.keys.is_contiguous()
    assert codec("int8").encode_layer(strided) == codec("int8").encode_layer(kv)


@given(
    rows=st.integers(1, 3),
    mask=st.lists(st.booleans(), min_size=1, max_size=70).filter(any),
    per_head=st.booleans(),
    rope=st.sampled_from(RopePhase),
)
def test_any_selection_survives_the_frame(rows, mask, per_head, rope):
    """Bitmap or runs, shared by the heads or one for each."""
    slots = torch.tensor(mask).nonzero().flatten()
    if per_head:
        slots = torch.stack([slots] * rows)
    kept = slots.shape[-1]
    plane = Plane("x", torch.zeros(rows, kept, 1))
    data = frame.write(Frame("fp32+keep=0.5", 0, rows, 1, len(mask), rope, slots, (plane,), (plane,)))
    back = frame.read(data, LIMITS)
    assert back.slots is not None
    assert torch.equal(back.slots, slots)
    assert (back.kept, back.rope) == (kept, rope)


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_recent_stretch_costs_at_most_six_bytes_of_index(tokens, kept):
    """Recency pruning pays for two numbers, not for a list."""
    kept = min(kept, tokens)
    plane = Plane("x", torch.zeros(1, kept, 1))
    sizes = [
        len(frame.write(Frame("fp32", 0, 1, 1, tokens, RopePhase.POST, slots, (plane,), ())))
        for slots in (None, torch.arange(tokens - kept, tokens))
    ]
    assert sizes[1] - sizes[0] <= 6


def test_planes_of_every_type_and_of_no_elements_survive_the_frame():
    """A quantizer may have a plane that happens to be empty."""
    planes = tuple(Plane(f"p{code}", torch.ones(2, 1).to(dtype)) for code, dtype in enumerate(entries.DTYPES))
    planes = (*planes, Plane("none", torch.empty(0, dtype=torch.uint8)))
    back = frame.read(frame.write(Frame("fp32", 0, 1, 1, 1, RopePhase.PRE, None, planes, ())), LIMITS)
    assert [plane.name for plane in back.keys] == [plane.name for plane in planes]
    assert all(
        got.data.dtype == sent.data.dtype and torch.equal(got.data.float(), sent.data.float())
        for got, sent in zip(back.keys, planes, strict=True)
    )


@pytest.mark.parametrize("rope", RopePhase)
def test_a_frame_that_keeps_all_tokens_tells_the_phase_of_its_keys(rope):
    """Without a selection there is still a byte of flags."""
    assert frame.read(frame.write(Frame("fp32", 0, 1, 1, 1, rope, None, (), ())), LIMITS).rope is rope


def test_a_selection_that_is_as_long_in_both_forms_is_written_in_runs():
    """The last 8 of 16 tokens: two bytes either way, so two writers give the same bytes."""
    plane = Plane("x", torch.zeros(1, 8, 1))
    data = frame.write(Frame("fp32", 0, 1, 1, 16, RopePhase.POST, torch.arange(8, 16), (plane,), ()))
    flags = len("KVF") + 1 + 4 + len(b"\x04fp32") + 4
    assert data[flags : flags + 4] == bytes([1 | 2 | 8, 8, 8, 8])


def test_a_frame_is_the_same_bytes_every_time():
    """Encoding is deterministic."""
    assert codec("int8").encode_layer(layer_kv()) == codec("int8").encode_layer(layer_kv())


def test_a_short_context_pays_less_than_fifty_bytes_per_layer_for_its_header():
    """12 tokens of 3 heads of 64 in int8: 4608 codes and 72 scales of two bytes."""
    data = codec("int8").encode_layer(layer_kv(3, 12, 64))
    assert len(data) - (2 * 3 * 12 * 64 + 2 * 3 * 12 * 2) < 50


@pytest.mark.parametrize(("name", "dims"), [("q", (200,)), ("scales", (2, 1, 300))])
def test_a_planes_row_in_the_table_takes_what_is_foretold(name, dims):
    """Before there is a plane: a policy reckons with it."""
    plane = Plane(name, torch.zeros(dims, dtype=torch.uint8))
    _, row, _ = entries.write_planes((plane,), (), compress=False)
    assert entries.entry_bytes(name, dims) == len(row)


def test_bits_per_value_counts_every_byte_of_the_frame_over_the_values_before_pruning():
    """Header and scales included."""
    kv = layer_kv(3, 12, 64)
    data = codec("fp16").encode_layer(kv)
    assert bits_per_value(len(data), kv) == 8 * len(data) / 4608
    assert 16 < bits_per_value(len(data), kv) < 16.1


@pytest.mark.parametrize("spec", ["fp16", "int8", "nf4", "int4+keep=0.5,by=random,scope=head"])
def test_a_frame_cut_at_any_byte_is_reported_as_data_loss(spec):
    """There is no length at which a cut frame passes for a whole one."""
    data = codec(spec).encode_layer(layer_kv())
    for length in range(len(data)):
        with pytest.raises(DataLossError):
            decode_layer(data[:length], LIMITS)


@pytest.mark.parametrize("spec", ["fp16", "int8", "nf4", "int4+keep=0.5,by=random,scope=head"])
def test_any_flipped_bit_is_reported(spec):
    """As data loss, or, in the version byte alone, as a disagreement about versions."""
    data = codec(spec).encode_layer(layer_kv())
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BindingError if bit // 8 == 3 else DataLossError):
            decode_layer(bytes(damaged), LIMITS)


def test_a_frame_of_another_version_is_a_disagreement_not_damage():
    """The message says which versions."""
    data = bytearray(codec("fp16").encode_layer(layer_kv()))
    data[3] = 9
    with pytest.raises(BindingError, match="frame version 9, this build reads 1"):
        decode_layer(bytes(data), LIMITS)


def test_a_frame_of_another_codec_than_announced_is_data_loss():
    """The stream's header and its frames must agree."""
    data = codec("fp16").encode_layer(layer_kv())
    with pytest.raises(DataLossError, match="'fp16', but the stream announced 'int8'"):
        codec("int8").decode_layer(data, LIMITS)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(max_layers=3),
        Limits(max_kv_heads=1),
        Limits(max_head_dim=3),
        Limits(max_tokens=4),
        Limits(max_planes=1),
        Limits(max_decoded_bytes=2 * 4 * 2 * 5 * 4 - 1),
    ],
)
def test_a_reader_takes_nothing_beyond_its_own_limits(limits):
    """Layer 3, 2 heads, 5 tokens, 4 values: each limit one too small."""
    data = codec("fp16").encode_layer(layer_kv())
    with pytest.raises(DataLossError):
        decode_layer(data, limits)


def test_a_reader_takes_what_is_just_within_its_limits():
    """The same frame: each limit just right."""
    limits = Limits(4, 2, 4, 5, 2, 2 * 4 * 2 * 5 * 4)
    assert decode_layer(codec("fp16").encode_layer(layer_kv()), limits).layer == 3


def test_planes_of_a_frame_outlive_the_buffer_they_came_in():
    """A receive buffer may be reused at once."""
    kv = layer_kv()
    buffer = bytearray(codec("fp32").encode_layer(kv))
    back = decode_layer(memoryview(buffer), LIMITS)
    buffer[:] = bytes(len(buffer))
    assert torch.equal(back.keys, kv.keys)


@pytest.mark.parametrize(
    ("keys", "values", "tokens"),
    [((2, 5, 4), (2, 5, 3), 5), ((2, 5), (2, 5), 5), ((2, 5, 4), (2, 5, 4), 6), ((2, 0, 4), (2, 0, 4), 0)],
)
def test_keys_and_values_that_do_not_fit_together_are_refused(keys, values, tokens):
    """With both shapes in the message."""
    kv = LayerKV(0, torch.zeros(keys), torch.zeros(values), RopePhase.POST, tokens)
    with pytest.raises(InvalidRequestError, match="layer 0: keys"):
        codec("fp16").encode_layer(kv)
