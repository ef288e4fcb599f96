"""Round trips for other code bases."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

import codec
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, InvalidRequestError, SpecError

ROPE = RopeTable((LayerRope(10_000.0 ** (-torch.arange(8) / 8)),) * 3)


def pair(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(shape, generator=generator).to(dtype) for _ in range(2))
    return keys, values


def test_a_layer_comes_back_as_its_frame_says_and_costs_what_its_frame_weighs():
    """Not by another path than the wire's."""
    keys, values = pair(2, 5, 16)
    own = Codec(CodecSpec.parse("nf4"))
    frame = own.encode_layer(LayerKV(0, keys, values, RopePhase.POST, 5))
    decoded = own.decode_layer(frame, Limits())
    back = codec.roundtrip(keys, values, "nf4")
    assert torch.equal(back.keys, decoded.keys)
    assert torch.equal(back.values, decoded.values)
    assert back.payload_bytes == len(frame)


@given(st.sampled_from([torch.float32, torch.bfloat16, torch.float16]), st.booleans(), st.sampled_from(["int8", "fp8"]))
def test_shape_and_dtype_stay_and_the_arguments_too(dtype, batched, spec):
    """With a batch or without."""
    shape = (2, 3, 4, 16) if batched else (3, 4, 16)
    keys, values = pair(*shape, dtype=dtype)
    before = keys.clone(), values.clone()
    back = codec.roundtrip(keys, values, spec)
    assert (back.keys.shape, back.keys.dtype) == (keys.shape, dtype)
    assert (back.values.shape, back.values.dtype) == (keys.shape, dtype)
    assert torch.equal(keys, before[0])
    assert torch.equal(values, before[1])
    assert not torch.equal(back.keys, keys)
    torch.testing.assert_close(back.keys, keys, atol=0.2, rtol=0.1)


def test_items_of_a_batch_travel_alone():
    """Each comes back as without the others, and all bytes count."""
    keys, values = pair(2, 3, 4, 16)
    keys[1] *= 100
    together = codec.roundtrip(keys, values, "int8:per=head")
    alone = [codec.roundtrip(keys[at], values[at], "int8:per=head") for at in range(2)]
    assert torch.equal(together.keys, torch.stack([back.keys for back in alone]))
    assert together.payload_bytes == sum(back.payload_bytes for back in alone)


def test_keys_before_rope_come_back_after_it():
    """At the positions they were given, which matter."""
    keys, values = pair(2, 5, 16)
    exact = codec.roundtrip(keys, values, "fp32+rope=pre", layer=2, rope=ROPE)
    torch.testing.assert_close(exact.keys, keys)
    here = codec.roundtrip(keys, values, "int4+rope=pre", rope=ROPE)
    there = codec.roundtrip(keys, values, "int4+rope=pre", rope=ROPE, positions=torch.arange(7, 12))
    assert not torch.equal(here.keys, there.keys)
    torch.testing.assert_close(there.keys, keys, atol=0.5, rtol=0)


def test_a_cache_of_transformers_makes_the_trip_layer_by_layer():
    """And can be one again."""
    cache = DynamicCache()
    for layer in range(3):
        cache.update(*pair(1, 2, 6, 16), layer)
    back = codec.roundtrip_cache(cache, "int8")
    single = codec.roundtrip(cache.layers[1].keys, cache.layers[1].values, "int8", layer=1)
    received = DynamicCache(back.layers)
    assert torch.equal(received.layers[1].keys, single.keys)
    assert back.payload_bytes == 3 * single.payload_bytes
    assert codec.roundtrip_cache([pair(1, 2, 6, 16)] * 3, "int8").payload_bytes == back.payload_bytes


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: codec.roundtrip(*pair(2, 4, 16), "int9"), SpecError, "unknown base"),
        (lambda: codec.roundtrip(*pair(2, 4, 16), "int8+keep=0.5"), SpecError, "leave keep= out"),
        (lambda: codec.roundtrip(*pair(4, 16), "int8"), InvalidRequestError, r"keys \(4, 16\)"),
        (lambda: codec.roundtrip(pair(2, 4, 16)[0], pair(2, 5, 16)[0], "int8"), InvalidRequestError, "of one shape"),
        (lambda: codec.roundtrip(*pair(0, 2, 4, 16), "int8"), InvalidRequestError, "none of it 0"),
        (lambda: codec.roundtrip(*pair(2, 4, 16, dtype=torch.int64), "int8"), InvalidRequestError, "floats"),
        (lambda: codec.roundtrip(*pair(2, 4, 16), "int8+rope=pre"), InvalidRequestError, "needs the layer's RoPE"),
        (lambda: codec.roundtrip(*pair(2, 4, 16), "rd:bits=2", rope=ROPE), BindingError, "kvwire codec calibrate"),
        (lambda: codec.roundtrip_cache(DynamicCache(), "int8"), InvalidRequestError, "fill it first"),
        (lambda: codec.roundtrip_cache(3, "int8"), InvalidRequestError, "int has no layers"),
        (lambda: codec.roundtrip_cache([None], "int8"), InvalidRequestError, "layer 0 of the cache holds no keys"),
        (lambda: codec.roundtrip_cache([pair(2, 4, 16), (None, None)], "int8"), InvalidRequestError, "layer 1 of the"),
    ],
)
def test_what_cannot_make_a_round_trip_is_told_why(call, error, says):
    """With the values, and what to do."""
    with pytest.raises(error, match=says):
        call()


def test_a_number_that_is_none_is_refused_with_its_layer():
    """As on the wire."""
    keys, values = pair(2, 4, 16)
    keys[1, 2, 3] = float("nan")
    with pytest.raises(InvalidRequestError, match="layer 5"):
        codec.roundtrip(keys, values, "int8", layer=5)


def test_the_example_of_the_guide_runs(capsys):
    """As it stands there."""
    guide = (Path(__file__).parents[2] / "docs" / "codec-guide.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", guide, flags=re.DOTALL)
    names = {}
    exec(example, names)  # noqa: S102  # our own documentation
    assert re.fullmatch(r"4\.\d\d bits per value\n", capsys.readouterr().out)
    assert names["received"].get_seq_length() == 20
    torch.testing.assert_close(names["before"].layers[1][0], names["cache"].layers[1].keys, atol=0.5, rtol=0)
