"""What nobody takes is not sent."""

import pytest
import torch

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import SpecError


def layer():
    x = torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0))
    return LayerKV(1, x[0], x[1], RopePhase.POST, 5)


@pytest.mark.parametrize(("part", "half"), [("kL1-1", "keys"), ("v", "values")])
def test_an_omitted_half_takes_no_bytes_and_comes_back_as_zeros(part, half):
    """The other half is as it was."""
    kv, whole, codec = layer(), Codec(CodecSpec.parse("fp32")), Codec(CodecSpec.parse(f"fp32+mix={part}@omit"))
    data = codec.encode_layer(kv)
    assert len(whole.encode_layer(kv)) - len(data) > 4 * kv.keys.numel() - 20
    back = codec.decode_layer(data, Limits())
    for name in ("keys", "values"):
        wanted = torch.zeros_like(kv.keys) if name == half else getattr(kv, name)
        assert torch.equal(getattr(back, name), wanted)


def test_not_everything_can_be_omitted():
    """As a leading base it would leave nothing."""
    with pytest.raises(SpecError, match=r": leaves everything out; it can only stand in mix=$"):
        CodecSpec.parse("omit")
