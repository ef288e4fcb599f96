"""What every quantizer promises, checked on ``rd`` under synthetic tables, and what only ``rd`` promises."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec import frame
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.planes import Plane
from codec.quantize.base import Context, Kind
from codec.quantize.rd import Rd, analyse
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import BindingError, DataLossError, InvalidRequestError, SpecError

SHAPES = [(1, 1, 1), (1, 1, 64), (3, 12, 64), (2, 7, 33), (4, 5, 80), (1, 200, 128)]
RD = Rd(step=100)


def gaussian(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def context(rd_tables):
    def make(x, kind=Kind.KEY, layer=1):
        heads, tokens, dim = x.shape
        return Context(layer, kind, heads, tokens, dim, torch.arange(tokens), rd_tables(heads, dim))

    return make


@pytest.fixture
def there_and_back(context):
    return lambda x, rd=RD: rd.decode(rd.encode(x, context(x)), context(x))


@pytest.fixture
def within_bound(context, there_and_back):
    def check(x):
        slack = 1e-3 * x.float().abs().amax() + torch.finfo(torch.float32).tiny
        assert ((there_and_back(x) - x.float()).abs() <= RD.bound(x, context(x)) + slack).all()

    return check


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_error_stays_within_the_bound(within_bound, there_and_back, shape, dtype):
    """For gaussian numbers of any shape and dtype; what comes back is float32."""
    x = gaussian(shape).to(dtype)
    within_bound(x)
    assert there_and_back(x).dtype == torch.float32


@pytest.mark.parametrize("scale", [1e-42, 1e-38, 1e-7, 1.0, 1e3, 8e6 / 5])
def test_the_error_stays_within_the_bound_at_every_magnitude(within_bound, scale):
    """Far outside calibration, denormals included."""
    within_bound(gaussian((2, 6, 64)).clamp(-5, 5) * scale)


def test_the_error_stays_within_the_bound_beside_an_attention_sink(within_bound):
    """Tokens with outliers of 1e4 travel precisely, the others as ever."""
    x = gaussian((2, 400, 64))
    x[:, 0, 5] = 1e4
    x[1, 3, 63] = -1e4
    within_bound(x)


@pytest.mark.parametrize("constant", [0.0, 1.0, -1.0, -77.7])
def test_constants_come_back_within_the_bound(within_bound, constant):
    """No token needs a spread."""
    within_bound(torch.full((2, 5, 64), constant))


@settings(max_examples=60, deadline=None)
@given(
    heads=st.integers(1, 3),
    tokens=st.integers(1, 90),
    dim=st.sampled_from([1, 3, 8, 33, 64]),
    step=st.integers(1, 255),
    scales=st.lists(st.floats(-8, 5), min_size=1, max_size=4),
)
def test_every_tensor_round_trips_at_every_step(rd_tables, heads, tokens, dim, step, scales):
    """Whatever the mix of magnitudes, lanes and classes: bytes decode, and decode to finite numbers."""
    x = gaussian((heads, tokens, dim), seed=step)
    x *= 10.0 ** torch.tensor(scales).repeat(tokens)[:tokens, None]
    ctx = Context(0, Kind.VALUE, heads, tokens, dim, torch.arange(tokens), rd_tables(heads, dim))
    rd = Rd(step=step)
    assert torch.isfinite(rd.decode(rd.encode(x, ctx), ctx)).all()


def test_encoding_is_deterministic_and_blind_to_strides(context, set_threads):
    """On one thread or two, contiguous or not."""
    x = gaussian((3, 200, 64))
    set_threads(1)
    one = RD.encode(x, context(x))
    set_threads(2)
    two = RD.encode(x.mT.contiguous().mT, context(x))
    assert torch.equal(one[0].data, two[0].data)


def test_two_threads_write_and_read_what_one_does(rd_tables, set_threads):
    """Keys on one, values on the other."""
    x = gaussian((2, 600, 64))
    codec = Codec(CodecSpec.parse("rd:step=100"), calibration=rd_tables(2, 64))
    frames, decoded = [], []
    for threads in (1, 2):
        set_threads(threads)
        frames.append(codec.encode_layer(LayerKV(0, x, -x, RopePhase.PRE, 600)))
        decoded.append(codec.decode_layer(frames[0], Limits()))
    assert frames[0] == frames[1]
    assert torch.equal(decoded[0].keys, decoded[1].keys)
    assert torch.equal(decoded[0].values, decoded[1].values)


def test_an_error_of_either_half_arrives_from_two_threads(rd_tables, set_threads):
    """The values' own thread included."""
    x = gaussian((2, 600, 64))
    bad = x.clone()
    bad[1, 2, 3] = torch.nan
    codec = Codec(CodecSpec.parse("rd:step=100"), calibration=rd_tables(2, 64))
    set_threads(2)
    for keys, values, kind in ((bad, x, "keys"), (x, bad, "values")):
        with pytest.raises(InvalidRequestError, match=f"{kind}, head 1, token 2, channel 3"):
            codec.encode_layer(LayerKV(0, keys, values, RopePhase.PRE, 600))


def test_the_transform_is_fused_multiply_adds_in_order(rd_tables):
    """To the bit, on every CPU: against exact sums rounded once per term, of rows and columns that fill no tile."""
    tables, x = rd_tables(1, 33), gaussian((1, 11, 33))
    analysis = analyse(x, Context(0, Kind.KEY, 1, 11, 33, torch.arange(1, 12), tables), 100)
    forward, out = tables.tensors["forward"][0, 0], analysis.coefficients
    for token, column in ((0, 0), (7, 31), (8, 32), (10, 5)):
        total = np.float32(0)
        for k in range(33):
            exact = Fraction(float(x[0, token, k])) * Fraction(float(forward[0, k, column])) + Fraction(float(total))
            total = nearest_single(exact)
        assert out[0, token, column] == total


def nearest_single(exact):
    guess = np.float32(float(exact))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(around, key=lambda one: (abs(Fraction(float(one)) - exact), int(one.view(np.uint32)) & 1))


def test_a_coarser_step_takes_fewer_bytes(context):
    """Down to a fraction of a bit per value."""
    x = gaussian((3, 300, 64))
    sizes = [Rd(step=step).encode(x, context(x))[0].nbytes for step in (80, 112, 144, 176)]
    assert sizes == sorted(sizes, reverse=True)
    assert 8 * sizes[-1] < x.numel()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused_with_its_place(context, bad):
    """Layer, head, token and channel."""
    x = gaussian((2, 5, 64))
    x[1, 3, 60] = bad
    with pytest.raises(InvalidRequestError, match=r"layer 1 values, head 1, token 3, channel 60: (nan|-?inf)"):
        RD.encode(x, context(x, Kind.VALUE))


def test_a_number_beyond_the_range_is_refused(context):
    """Naming the codecs that carry it."""
    x = gaussian((1, 2, 64))
    x[0, 1, 2] = 3e38
    with pytest.raises(InvalidRequestError, match=r"keys, head 0, token 1, channel 2: 3.*use bf16 or fp32"):
        RD.encode(x, context(x))


@pytest.mark.parametrize("tokens", [12, 400])
def test_a_damaged_plane_is_data_loss_and_never_a_crash(context, tokens):
    """Cut, extended, or any byte changed; one lane and eight."""
    x = gaussian((2, tokens, 64))
    ctx = context(x)
    plane = RD.encode(x, ctx)[0].data
    random = np.random.default_rng(1)
    damaged = [plane[:0], plane[:1], plane[:-1], plane[:-2], torch.cat((plane, plane[:2])), plane[: len(plane) // 2]]
    precise_bytes = 2 * (2 + 64)  # the first token of each head; any byte is a number there
    for at in random.integers(1, len(plane) - precise_bytes, 200):
        flipped = plane.clone()
        flipped[at] ^= int(random.integers(1, 256))
        damaged.append(flipped)
    caught = 0
    for data in damaged:
        try:
            RD.decode((Plane("z", data.contiguous()),), ctx)
        except DataLossError:
            caught += 1
    assert caught > 0.9 * len(damaged)  # a raw word after an escape is any number; the frame's checksum covers it


@pytest.mark.parametrize("text", ["rd", "rd:bits=2,quality=0.02", "rd:step=256"])
def test_exactly_one_parameter_is_taken(text):
    """Bits, quality or a step."""
    with pytest.raises(SpecError, match="one of bits"):
        CodecSpec.parse(text)


def test_a_codec_without_tables_names_the_command_that_makes_them():
    """Before any cache is computed."""
    with pytest.raises(BindingError, match="kvwire codec calibrate"):
        Codec(CodecSpec.parse("rd:bits=2"))


def test_keys_after_rope_are_refused(rd_tables):
    """Tables know keys before RoPE only."""
    with pytest.raises(SpecError, match="before RoPE"):
        Codec(CodecSpec.parse("rd:bits=2+rope=post"), calibration=rd_tables(2, 64))


def test_tables_of_another_shape_are_refused(rd_tables):
    """Other heads cannot be of this model."""
    x = gaussian((2, 5, 64))
    codec = Codec(CodecSpec.parse("rd:step=100"), calibration=rd_tables(3, 64))
    with pytest.raises(BindingError, match="3 heads of 64"):
        codec.encode_layer(LayerKV(0, x, x, RopePhase.PRE, 5))


def test_a_frame_carries_its_step_whatever_the_tables_rates(rd_tables):
    """A reader resolves nothing: two specs that come to one step give one payload."""
    x = gaussian((2, 5, 64))
    tables = rd_tables(2, 64)
    kv = LayerKV(0, x, x, RopePhase.PRE, 5)
    by_step, by_rate = (Codec(CodecSpec.parse(text), calibration=tables) for text in ("rd:step=56", "rd:bits=1"))
    one, other = (frame.read(codec.encode_layer(kv), Limits()) for codec in (by_step, by_rate))
    assert torch.equal(one.keys[0].data, other.keys[0].data)
    assert torch.equal(one.values[0].data, other.values[0].data)
    assert by_rate.decode_layer(by_rate.encode_layer(kv), Limits()).keys.shape == (2, 5, 64)
