"""Hostile frames: right checksums, wrong contents. Nothing but our errors, and nothing allocated on their word."""

import struct
import zlib
from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from codec import frame
from codec.codec import Codec, decode_layer
from codec.frame import Frame, Limits
from codec.layer import LayerKV
from codec.planes import Plane
from codec.spec import CodecSpec, RopePhase
from codec.varint import varint
from kvwire.errors import BindingError, DataLossError

LIMITS = Limits()
SPECS = ["fp16", "fp8", "int8", "nf4", "int4+keep=0.5,by=random,scope=head", "int8+keep=0.4"]


def honest(spec):
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(2, 5, 4, generator=generator) for _ in range(2))
    return Codec(CodecSpec.parse(spec)).encode_layer(LayerKV(3, keys, values, RopePhase.POST, 5))


def sealed(body):
    """A frame with a right checksum around any body."""
    return b"KVF\x01" + struct.pack("<I", zlib.crc32(body)) + body


def header(*counts, spec=b"fp32", flags=1):
    return varint(len(spec)) + spec + b"".join(varint(count) for count in counts) + bytes([flags])


def entry(tag, kind, name, *dims):
    return bytes([tag, kind, len(name)]) + name + b"".join(varint(dim) for dim in dims)


@given(at=st.integers(0, 200), change=st.integers(1, 255), spec=st.sampled_from(SPECS))
def test_a_damaged_frame_with_a_right_checksum_is_decoded_or_reported_never_a_crash(at, change, spec):
    """A hostile sender can compute checksums too."""
    body = bytearray(honest(spec)[8:])
    body[at % len(body)] ^= change
    with suppress(DataLossError, BindingError):
        decode_layer(sealed(bytes(body)), LIMITS)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_an_error_of_ours(body):
    """Neither with a right checksum nor without one does garbage raise anything else."""
    for data in (body, sealed(body), sealed(header(0, 1, 1, 1) + body)):
        with suppress(DataLossError, BindingError):
            decode_layer(data, LIMITS)


HUGE = (1 << 34) - 1
HOSTILE = {
    "layer": header(HUGE, 1, 1, 1),
    "kv_heads": header(0, HUGE, 1, 1),
    "head_dim": header(0, 1, HUGE, 1),
    "tokens": header(0, 1, 1, HUGE),
    "decode to": header(0, 1024, 4096, 1 << 20),
    "a frame has a byte for every 8": header(0, 1024, 1, 1 << 16),
    "kept": header(0, 1, 1, 8, flags=3) + varint(9),
    "selection bitmap": header(0, 1, 1, 9, flags=3) + varint(1),
    "keeps": header(0, 1, 1, 8, flags=3) + varint(1) + b"\x03",
    "selection run": header(0, 1, 1, 8, flags=0xB) + varint(3) + b"\x00\x04\x01\x00\x00\x00\x00",
    "selection gap": header(0, 1, 1, 8, flags=0xB) + varint(3) + b"\x00\x01\x00\x01\x00\x00\x00",
    "^flags 0x10 are not defined in version 1$": header(0, 1, 1, 1, flags=0x10),
    "flags": header(0, 1, 1, 1, flags=0x11),
    "both scopes|flags": header(0, 1, 1, 1, flags=6) + varint(1) + bytes(8),
    "planes": header(0, 1, 1, 1) + varint(HUGE),
    "plane dimension": header(0, 1, 1, 1) + b"\x01" + entry(0, 0x34, b"x", 1, 1, HUGE),
    "least|0 to|1 to": header(0, 1, 1, 1) + b"\x01" + entry(0, 0x34, b"x", 1, 0, 1),
    "^plane dimension is 0; 1 to": header(0, 1, 1, 1) + b"\x01" + entry(0, 0x24, b"x", 1, 0),
    "plane 'x': .* announced": header(0, 1, 1, 1) + b"\x01" + entry(0, 0xF4, b"x", *[30] * 15),
    "plane tag": header(0, 1, 1, 1) + b"\x01" + entry(2, 0x34, b"x", 1, 1, 1) + bytes(4),
    "^plane type 6 is not defined; 0 to 5 are$": header(0, 1, 1, 1)
    + b"\x01"
    + entry(0, 0x36, b"x", 1, 1, 1)
    + bytes(4),
    "is not a name": header(0, 1, 1, 1) + b"\x01" + entry(0, 0x34, b"X", 1, 1, 1) + bytes(4),
    "^plane name length is 17; 1 to 16 can": header(0, 1, 1, 1)
    + b"\x01"
    + entry(0, 0x34, b"x" * 17, 1, 1, 1)
    + bytes(4),
    "after the last plane": header(0, 1, 1, 1) + b"\x00" + bytes(4),
    "^planes of keys after those of values, or groups of heads out of order$": (
        header(0, 1, 1, 1) + b"\x02" + entry(4, 0, b"x") + entry(0, 0, b"x") + bytes(2)
    ),
    "^compressed planes unpack to 16 bytes; the layer itself has 8$": (
        header(0, 1, 1, 1) + b"\x02" + (entry(1, 0x10, b"x", 8) + b"\x01") * 2 + bytes(2)
    ),
    "shortest form": header(0, 1, 1, 1)[:-2] + b"\x81\x00" + b"\x01",
    "not ASCII": header(0, 1, 1, 1, spec=b"\xff"),
    "unknown base": header(0, 1, 1, 1, spec=b"int9") + b"\x00",
    "canonical": header(0, 1, 1, 1, spec=b"int8:per=token") + b"\x00",
    "contradicts": header(0, 1, 1, 1, flags=0) + b"\x00",
    "is not canonical or contradicts": header(0, 2, 1, 2, spec=b"fp32+keep=0.5", flags=5) + varint(1) + b"\1\1\0",
    "planes x:float32.1x1x1. expected, none arrived": header(0, 1, 1, 1) + b"\x00",
}


class Modest(TorchDispatchMode):
    """Fails a test that makes a tensor larger than any honest frame here needs."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **kwargs or {})
        assert not isinstance(made, torch.Tensor) or made.numel() < 1000
        return made


@pytest.mark.parametrize("says", HOSTILE)
def test_a_hostile_header_is_data_loss_before_anything_is_allocated(says):
    """Right checksum, wrong numbers: the message has them, and no tensor was made for them."""
    with Modest(), pytest.raises(DataLossError, match=says):
        decode_layer(sealed(HOSTILE[says]), LIMITS)


def test_a_codec_the_reader_does_not_offer_is_a_disagreement_not_damage():
    """A newer sender may know more entropy coders."""
    with pytest.raises(BindingError, match="does not offer entropy=ans"):
        decode_layer(sealed(header(0, 1, 1, 1, spec=b"int8+entropy=ans") + b"\x00"), LIMITS)


def test_a_frame_of_rd_without_its_tables_is_a_disagreement_not_damage():
    """The message names the command that makes them."""
    plane = b"\x02\x00\x10\x01z\x01\x04\x10\x01z\x01" + bytes(2)
    with pytest.raises(BindingError, match="kvwire codec calibrate"):
        decode_layer(sealed(header(0, 1, 1, 1, flags=0, spec=b"rd:bits=2") + plane), LIMITS)


#: A whole body, field by field, but for what the one plane unpacks from.
FIELDS = {
    "spec length": b"\x04",
    "spec": b"fp32",
    "layer": b"\x00",
    "kv_heads": b"\x01",
    "head_dim": b"\x01",
    "tokens": b"\x08",
    "flags": b"\x03",
    "kept": b"\x01",
    "selection bitmap": b"\x01",
    "planes": b"\x01",
    "plane tag": b"\x01",
    "plane type": b"\x10",
    "plane name length": b"\x01",
    "plane name": b"x",
    "plane dimension": b"\x01",
    "plane length": b"\x01",
    "plane 'x'": b"",
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_frame_that_ends_before_a_field_is_data_loss_by_the_field_s_name(field):
    """Its sender left something out, and sealed it."""
    body = b"".join(list(FIELDS.values())[: list(FIELDS).index(field)])
    with pytest.raises(DataLossError, match=rf"^{field}: \d bytes announced at {len(body)}, 0 left"):
        decode_layer(sealed(body), LIMITS)


@pytest.mark.parametrize(("told", "field"), [(b"", "gap"), (b"\x00", "run")])
def test_a_selection_in_runs_that_ends_early_is_data_loss_by_what_is_missing(told, field):
    """A gap, or the run after it."""
    with pytest.raises(DataLossError, match=f"^selection {field}: 1 bytes announced at"):
        decode_layer(sealed(header(0, 1, 1, 8, flags=0xB) + varint(3) + told), LIMITS)


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ((0, 2, 7, 1), "gap is 7; 1 to 6"),
        ((0, 0), "run is 0; 1 to 3"),
        ((0, 2, 1, 2), "run is 2; 1 to 1"),
        ((6, 3), "run is 3; 1 to 2"),
    ],
)
def test_a_selection_in_runs_keeps_within_its_tokens_and_what_is_kept(runs, says):
    """3 of 8 tokens: each length has its ends in the message."""
    body = header(0, 1, 1, 8, flags=0xB) + varint(3) + bytes(runs) + bytes(9)
    with pytest.raises(DataLossError, match=f"^selection {says} can be read$"):
        decode_layer(sealed(body), LIMITS)


@pytest.mark.parametrize(
    "field", ["spec length", "kv_heads", "head_dim", "tokens", "kept", "plane name length", "plane length"]
)
def test_a_count_of_nothing_is_data_loss(field):
    """Where nothing is left to be described, no frame is needed."""
    body = b"".join((FIELDS | {field: b"\x00"}).values())
    with pytest.raises(DataLossError, match=f"^{field} is 0; 1 to"):
        decode_layer(sealed(body), LIMITS)


def test_a_plane_that_does_not_unpack_is_data_loss_by_its_name():
    """What Zstandard says of it follows."""
    with pytest.raises(DataLossError, match=r"^plane 'x': "):
        decode_layer(sealed(b"".join(FIELDS.values()) + b"?"), LIMITS)


def test_a_frame_may_have_just_the_bytes_that_its_tokens_need():
    """11 bytes for 88 tokens; not for 89."""
    assert frame.read(sealed(header(0, 1, 1, 88) + b"\x00"), LIMITS).tokens == 88
    with pytest.raises(DataLossError, match=r"^1 heads of 89 tokens announced in 11 bytes"):
        frame.read(sealed(header(0, 1, 1, 89) + b"\x00"), LIMITS)


def test_what_is_no_frame_is_data_loss_with_its_first_bytes():
    """A wrong file is recognized by them."""
    with pytest.raises(DataLossError, match=r"^10 bytes beginning b'GIF8' are no frame; it begins b'KVF'$"):
        decode_layer(b"GIF89a\1\0\1\0", LIMITS)


def test_damage_is_told_with_both_checksums():
    """Of a body of one zero byte: the right one, and the one that stands there."""
    with pytest.raises(DataLossError, match=r"^frame of 9 bytes: checksum d202ef8d, 00000001 written; send it again$"):
        decode_layer(b"KVF\x01\x01\0\0\0\0", LIMITS)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("spec", ["fp32", "fp16", "bf16"])
def test_a_float_plane_with_nan_or_infinity_is_data_loss(spec, bad):
    """No encoder writes one, so a sender that does is broken or hostile."""
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[spec]
    plane = Plane("x", torch.full((1, 1, 1), bad).to(dtype))
    data = frame.write(Frame(spec, 0, 1, 1, 1, RopePhase.POST, None, (plane,), (plane,)))
    with pytest.raises(DataLossError, match="NaN or infinity"):
        decode_layer(data, LIMITS)
