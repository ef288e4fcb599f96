"""What every quantizer promises, checked on every quantizer the registry offers."""

import pytest
import torch

from codec import registry
from codec.planes import Plane, nbytes
from codec.quantize.base import Context, Kind
from codec.quantize.center import Centered
from codec.spec import CodecSpec
from kvwire.errors import DataLossError, InvalidRequestError


def ceil(a, b):
    return -(-a // b)


def kivi(bits, group):
    """Keys: per head and channel, groups of tokens; a rest of one or two tokens is float16."""

    def size(h, t, d):
        full, rest = divmod(t, group)
        loose = rest if rest <= 2 else 0
        groups = full + (rest > 2)
        return ceil(h * d * (t - loose) * bits, 8) + 4 * h * d * groups + 2 * h * d * loose

    return size


#: Spec -> bytes on the wire for (heads, tokens, head_dim). A new quantizer adds its rows here.
SIZES = {
    "fp32": lambda h, t, d: 4 * h * t * d,
    "fp16": lambda h, t, d: 2 * h * t * d,
    "bf16": lambda h, t, d: 2 * h * t * d,
    "fp8": lambda h, t, d: h * t * d + 2 * h,
    "fp8:per=token": lambda h, t, d: h * t * d + 2 * h * t,
    "int8": lambda h, t, d: h * t * d + 2 * h * t,
    "int8:per=head": lambda h, t, d: h * t * d + 2 * h,
    "int4": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 64),
    "int4:block=32": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 32),
    "nf4": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 64),
    "nf4:block=128": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 128),
    "int8:center=channel": lambda h, t, d: h * t * d + 2 * h * t + 2 * h * d,
    "int4:center=channel": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 64) + 2 * h * d,
    "nf4:center=none": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t * ceil(d, 64),
    "hadamard:center=channel": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t + 2 * h * d,
    "kivi": kivi(4, 32),
    "kivi:bits=3": kivi(3, 32),
    "kivi:bits=2,group=10": kivi(2, 10),
    "hadamard": lambda h, t, d: ceil(h * t * d, 2) + 2 * h * t,
    "hadamard:bits=2": lambda h, t, d: ceil(h * t * d, 4) + 2 * h * t,
    "hadamard:bits=3": lambda h, t, d: ceil(3 * h * t * d, 8) + 2 * h * t,
    "hadamard:bits=5": lambda h, t, d: ceil(5 * h * t * d, 8) + 2 * h * t,
}
SHAPES = [(1, 1, 1), (1, 1, 64), (3, 12, 64), (2, 7, 33), (4, 5, 80), (1, 200, 256)]


@pytest.fixture(params=SIZES)
def spec(request):
    return request.param


@pytest.fixture
def quantizer(spec):
    return CodecSpec.parse(spec).base.quantizer()


def context(x, kind=Kind.KEY, layer=7):
    heads, tokens, head_dim = x.shape
    return Context(layer, kind, heads, tokens, head_dim, torch.arange(tokens))


def gaussian(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def there_and_back(quantizer, x):
    return quantizer.decode(quantizer.encode(x, context(x)), context(x))


def assert_within_bound(quantizer, x):
    # The bound is for exact arithmetic; the slack is for a few float32 roundings on top.
    slack = 4 * torch.finfo(torch.float32).eps * x.float().abs().amax() + torch.finfo(torch.float32).tiny
    assert ((there_and_back(quantizer, x) - x.float()).abs() <= quantizer.error_bound(x) + slack).all()


def same(one, other):
    return one.dtype == other.dtype and torch.equal(one.view(torch.uint8), other.view(torch.uint8))


def test_every_offered_base_has_a_row():
    """A quantizer that is not checked here is not offered."""
    by_calibration = {name for name, base in registry.QUANTIZERS.items() if base.needs_calibration}
    elsewhere = by_calibration | {"omit"}  # test_rd.py, test_omit.py
    assert {spec.split(":")[0] for spec in SIZES} | elsewhere == set(registry.QUANTIZERS)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_comes_back_has_the_shape_and_is_float32(quantizer, shape):
    """Also for one token, one head, an odd head_dim."""
    back = there_and_back(quantizer, gaussian(shape))
    assert (tuple(back.shape), back.dtype) == (shape, torch.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_size_on_the_wire_is_the_formula(quantizer, spec, shape):
    """To the byte."""
    x = gaussian(shape)
    assert nbytes(quantizer.encode(x, context(x))) == SIZES[spec](*shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_error_stays_within_the_bound_the_quantizer_declares(quantizer, shape, dtype):
    """For gaussian numbers in any input dtype."""
    assert_within_bound(quantizer, gaussian(shape).to(dtype))


@pytest.mark.parametrize("scale", [1e-42, 1e-38, 1e-12, 1e-7, 6e-5, 1.0, 1e3])
def test_the_error_stays_within_the_bound_at_every_magnitude(quantizer, scale):
    """Denormal inputs and scales below float16's normal range included."""
    assert_within_bound(quantizer, gaussian((2, 6, 64)).clamp(-5, 5) * scale)


def test_the_error_stays_within_the_bound_beside_an_attention_sink(quantizer):
    """One outlier of 1e4 among ordinary numbers."""
    x = gaussian((2, 6, 64))
    x[:, 0, 5] = 1e4
    x[1, 3, 63] = -1e4
    assert_within_bound(quantizer, x)


#: What some number errs by at least, of its bound; hadamard's is the length of the whole vector's error.
SHARES = {"fp32": 0.0, "hadamard": 0.05}


@pytest.mark.parametrize("scale", [1e-7, 1.0])
def test_the_bound_is_not_far_above_what_numbers_err_by(quantizer, spec, scale):
    """Or it would hold whatever came back; fp32 errs by nothing."""
    x = gaussian((2, 200, 64)) * scale
    share = ((there_and_back(quantizer, x) - x).abs() / quantizer.error_bound(x)).amax()
    assert share >= SHARES.get(spec.split(":")[0], 0.4)


def test_the_bound_of_nf4_is_half_its_widest_gap_and_half_a_step_of_its_grid():
    """Of a block whose largest number is 1."""
    widest = 1 - 0.6961928009986877
    bound = CodecSpec.parse("nf4:center=none").base.quantizer().error_bound(torch.ones(1, 1, 64))
    torch.testing.assert_close(bound, torch.full((1, 1, 64), widest / 2 + 0.5 / 2048), rtol=1e-5, atol=0)


def test_zeros_come_back_as_zeros(quantizer):
    """No division by a zero scale, no offset."""
    x = torch.zeros(2, 5, 64)
    assert torch.equal(there_and_back(quantizer, x), x)


@pytest.mark.parametrize("constant", [1.0, -1.0, 0.3, -77.7])
def test_constants_come_back_within_the_bound(quantizer, constant):
    """A group without spread is an ordinary group."""
    assert_within_bound(quantizer, torch.full((2, 5, 64), constant))


def test_encoding_is_deterministic(quantizer, set_threads):
    """The same numbers give the same planes, on one thread or two."""
    x = gaussian((3, 40, 64))
    set_threads(1)
    one = quantizer.encode(x, context(x))
    set_threads(2)
    two = quantizer.encode(x.clone(), context(x))
    assert all(a.name == b.name and same(a.data, b.data) for a, b in zip(one, two, strict=True))


def test_strides_of_the_input_do_not_matter(quantizer):
    """A transposed view encodes like its contiguous copy."""
    x = gaussian((3, 10, 64))
    strided = x.mT.contiguous().mT
    planes = zip(quantizer.encode(x, context(x)), quantizer.encode(strided, context(x)), strict=True)
    assert all(same(a.data.contiguous(), b.data.contiguous()) for a, b in planes)


def test_encoding_leaves_its_input_alone(quantizer):
    """The cache is still in use by the model."""
    x = gaussian((2, 5, 64))
    before = x.clone()
    quantizer.encode(x, context(x))
    assert torch.equal(x, before)


def test_a_quantizer_works_where_its_numbers_are(quantizer):
    """As on a GPU: a tensor without numbers has a device too, and meets none of another."""
    plain = quantizer.plain() if isinstance(quantizer, Centered) else quantizer  # whether to center, numbers decide
    x = torch.empty(2, 34, 64, device="meta")
    planes = plain.quantize(x, context(x))
    back = plain.dequantize(planes, context(x))
    assert {each.device.type for each in (back, *(plane.data for plane in planes))} == {"meta"}


def test_a_token_is_quantized_alike_whatever_its_head_index(quantizer):
    """Heads are independent: permuting them permutes what comes back."""
    x = gaussian((3, 8, 64))
    order = torch.tensor([2, 0, 1])
    assert torch.equal(there_and_back(quantizer, x)[order], there_and_back(quantizer, x[order].contiguous()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused_with_its_place(quantizer, bad):
    """Layer, head, token and channel of the first, and what gives better ones."""
    x = gaussian((2, 5, 64))
    x[1, 3, 60], x[1, 4, 0] = bad, float("nan")
    says = r"layer 7 values, head 1, token 3, channel 60: (nan|-?inf) is not a number .* float32 or bfloat16$"
    with pytest.raises(InvalidRequestError, match=says):
        quantizer.encode(x, context(x, Kind.VALUE))


def test_a_number_beyond_the_range_is_refused_or_kept_never_clipped(quantizer, spec):
    """3e38 fits fp32 and bf16; the others name its place and the codecs that can."""
    x = gaussian((1, 2, 64))
    x[0, 1, 2] = 3e38
    if spec in {"fp32", "bf16"}:
        assert there_and_back(quantizer, x)[0, 1, 2] == pytest.approx(3e38, rel=2**-8)
        return
    with pytest.raises(InvalidRequestError, match=r"keys, head 0, token 1, channel 2: 3.*use bf16 or fp32"):
        quantizer.encode(x, context(x))


def test_a_tensor_of_another_shape_than_announced_is_refused(quantizer):
    """Before any arithmetic."""
    x = gaussian((2, 5, 64))
    with pytest.raises(InvalidRequestError, match="float tensor of"):
        quantizer.encode(x[:1], context(x))


def test_a_tensor_of_integers_is_refused(quantizer):
    """Codes are made here, not passed in."""
    x = torch.zeros(2, 5, 64, dtype=torch.int32)
    with pytest.raises(InvalidRequestError, match="int32"):
        quantizer.encode(x, context(x))


def test_a_missing_plane_is_data_loss(quantizer):
    """The message lists what was expected."""
    x = gaussian((2, 5, 64))
    with pytest.raises(DataLossError, match=r"layer 7 keys: planes .* expected"):
        quantizer.decode(quantizer.encode(x, context(x))[:-1], context(x))


def test_a_plane_of_another_name_type_or_shape_is_data_loss(quantizer):
    """Each fault in each plane."""
    x = gaussian((2, 5, 64))
    planes = quantizer.encode(x, context(x))
    for at, plane in enumerate(planes):
        wrong = [
            Plane("w", plane.data),
            Plane(plane.name, plane.data.double() if plane.data.is_floating_point() else plane.data.int()),
            Plane(plane.name, plane.data[..., None]),
            Plane(plane.name, plane.data[:0]),
        ]
        for other in wrong:
            with pytest.raises(DataLossError, match="expected"):
                quantizer.decode((*planes[:at], other, *planes[at + 1 :]), context(x))
