"""``entropy=zstd``: smaller where it can be, raw where not, and no bomb."""

import struct
import zlib
from contextlib import suppress

import pytest
import torch
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from codec import frame
from codec.codec import Codec, decode_layer
from codec.entries import write_planes
from codec.entropy import zstd
from codec.frame import Limits
from codec.layer import LayerKV
from codec.planes import Plane
from codec.spec import CodecSpec, RopePhase
from codec.varint import varint
from kvwire.errors import BindingError, DataLossError

LIMITS = Limits()


def layer_kv(tokens=40, *, zeros=False):
    """Rows that repeat, so that there is something to squeeze."""
    x = torch.randn(2, 1, 64, generator=torch.Generator().manual_seed(0)).expand(2, tokens, 64)
    x = x * (0 if zeros else 1)
    return LayerKV(3, x, x + 1, RopePhase.POST, tokens)


def encoded(spec, kv):
    return Codec(CodecSpec.parse(spec)).encode_layer(kv)


@pytest.mark.parametrize("base", ["fp32", "fp16", "int8", "nf4", "kivi:bits=2", "hadamard"])
def test_the_numbers_are_those_without_zstd_in_fewer_bytes(base):
    """It squeezes bytes and changes none."""
    plain, squeezed = (encoded(spec, layer_kv()) for spec in (base, f"{base}+entropy=zstd"))
    one, other = (decode_layer(data, LIMITS) for data in (plain, squeezed))
    assert len(squeezed) < len(plain)
    assert torch.equal(one.keys, other.keys)
    assert torch.equal(one.values, other.values)


def test_a_plane_that_zstd_does_not_shorten_travels_raw():
    """Random codes: not a byte more than without, but for the spec's own."""
    x = torch.randn(2, 40, 64, generator=torch.Generator().manual_seed(1))
    kv = LayerKV(3, x, x, RopePhase.POST, 40)
    squeezed = encoded("nf4:center=none+entropy=zstd", kv)
    assert frame.read(squeezed, LIMITS).entropy == "none"
    assert len(squeezed) == len(encoded("nf4:center=none", kv)) + len("+entropy=zstd")


def test_a_cache_of_zeros_stays_readable():
    """It would squeeze to less than readers take for so many tokens, so it travels raw."""
    back = decode_layer(encoded("int8+entropy=zstd", layer_kv(5000, zeros=True)), LIMITS)
    assert not back.keys.any()
    torch.testing.assert_close(back.values, torch.ones(2, 5000, 64), atol=2e-3, rtol=0)


@pytest.mark.parametrize(("shorter_by", "stored_bytes"), [(1, 64), (2, 62)])
def test_a_plane_is_squeezed_only_if_that_pays_for_its_length(monkeypatch, shorter_by, stored_bytes):
    """One byte tells how long it is, so one byte saved is none."""
    monkeypatch.setattr("codec.entropy.zstd.compress", lambda data: bytes(data)[:-shorter_by])
    *_, payload = write_planes((Plane("x", torch.zeros(64, dtype=torch.uint8)),), (), compress=True)
    assert len(payload) == stored_bytes


@pytest.mark.parametrize(("more", "entropy"), [(0, "zstd"), (1, "none")])
def test_a_frame_is_squeezed_down_to_a_byte_for_every_eight_tokens(more, entropy):
    """With one token more it travels raw."""
    plane = Plane("x", torch.zeros(1000, dtype=torch.uint8))

    def written(tokens):
        return frame.write(frame.Frame("fp32", 0, 1, 1, tokens, RopePhase.POST, None, (plane,), (), "zstd"))

    tokens = 8 * (len(written(128)) - len(b"KVF") - 1 - 4)
    assert frame.read(written(tokens + more), LIMITS).entropy == entropy


def test_planes_that_promise_more_than_the_layer_has_travel_raw():
    """Keys and values of 500 bytes each, for 100 tokens of two float32 numbers."""
    plane = Plane("x", torch.zeros(500, dtype=torch.uint8))
    data = frame.write(frame.Frame("fp32", 0, 1, 1, 100, RopePhase.POST, None, (plane,), (plane,), "zstd"))
    assert frame.read(data, LIMITS).entropy == "none"


def test_a_cache_is_squeezed_as_far_as_readers_take_it():
    """To less than a byte for each token of each head; one for every eight of them is the least."""
    data = encoded("int8+entropy=zstd", layer_kv(200, zeros=True))
    assert 2 * 200 / 8 <= len(data) - 8 < 2 * 200
    assert frame.read(data, LIMITS).entropy == "zstd"


def test_squeezing_is_at_the_fastest_level():
    """Of which a plane of repeats and noise shows the bytes."""
    data = torch.randint(0, 9, (4000,), generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy().data
    assert zstd.compress(data) == zstandard.ZstdCompressor(level=1).compress(data)
    assert zstd.compress(data) != zstandard.ZstdCompressor().compress(data)


def test_squeezing_is_deterministic():
    """The same bytes every time."""
    assert encoded("int8+entropy=zstd", layer_kv()) == encoded("int8+entropy=zstd", layer_kv())


def test_zstd_planes_in_a_frame_whose_spec_has_none_are_data_loss():
    """The spec is what a reader agreed to."""
    read = frame.read(encoded("int8+entropy=zstd", layer_kv()), LIMITS)
    assert read.entropy == "zstd"
    data = frame.write(frame.Frame("int8", 3, 2, 64, 40, read.rope, None, read.keys, read.values, "zstd"))
    with pytest.raises(DataLossError, match="contradicts"):
        decode_layer(data, LIMITS)


def bomb(announced, content):
    """An int8 frame of one token, its codes squeezed: ``announced`` by the entry, ``content`` inside."""
    squeezed = zstandard.ZstdCompressor().compress(content)
    head = varint(17) + b"int8+entropy=zstd" + bytes([0, 1, 1, 1, 1]) + b"\x01"
    body = head + bytes([1, 0x11, 1]) + b"q" + varint(announced) + varint(len(squeezed)) + squeezed
    return b"KVF\x01" + struct.pack("<I", zlib.crc32(body)) + body


@pytest.mark.parametrize(
    ("announced", "content", "says"),
    [
        (1 << 29, bytes(1 << 20), "plane dimension is 536870912; 0 to 8"),
        (8, bytes(1 << 20), "frame of 1048576 bytes, 8 announced"),
        (4, bytes(8), "frame of 8 bytes, 4 announced"),
    ],
)
def test_a_bomb_is_refused_before_it_goes_off(announced, content, says):
    """Neither the entry's word nor the Zstandard frame's is taken for more than the layer has."""
    with pytest.raises(DataLossError, match=says):
        decode_layer(bomb(announced, content), LIMITS)


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd", b"no frame", zstd.compress(bytes(8)) + b"\0"])
def test_what_is_not_one_whole_zstandard_frame_is_data_loss(data):
    """Cut, foreign, or with something after it."""
    with pytest.raises(DataLossError, match="plane 'q'"):
        zstd.decompress(memoryview(data), 8, "plane 'q'")


@given(at=st.integers(0, 5000), change=st.integers(1, 255))
def test_a_damaged_frame_with_a_right_checksum_is_decoded_or_reported(at, change):
    """Inside Zstandard's own bytes too."""
    body = bytearray(encoded("int8+entropy=zstd", layer_kv())[8:])
    body[at % len(body)] ^= change
    with suppress(DataLossError, BindingError):
        decode_layer(b"KVF\x01" + struct.pack("<I", zlib.crc32(body)) + body, LIMITS)
