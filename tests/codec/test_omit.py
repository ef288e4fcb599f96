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


@pytest.mark.parametrize("parts", ["k@omit/v@omit", "kL0-3@omit/vL3-5@omit", "L2-2@omit"])
def test_of_each_layer_something_is_sent(parts):
    """Readers refuse a frame that claims many tokens and is short; the spec is, before anything is encoded."""
    with pytest.raises(SpecError, match="neither keys nor values"):
        CodecSpec.parse(f"fp16+mix={parts}")


@pytest.mark.parametrize("parts", ["kL0-2@omit/vL3-5@omit", "H0-1@omit", "k@omit/vH0-1@omit"])
def test_keys_of_some_layers_values_of_others_and_heads_may_be_omitted(parts):
    """Something of each layer is left."""
    assert str(CodecSpec.parse(f"fp16+mix={parts}")).startswith("fp16+mix=")
