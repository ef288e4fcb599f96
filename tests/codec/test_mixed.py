"""``mix=``: other bases for layers, heads, keys or values, told by the frame itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codec import frame
from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.groups import HeadGroup, head_groups, join
from codec.layer import LayerKV
from codec.planes import Plane
from codec.quantize.base import Kind
from codec.spec import CodecSpec, RopePhase
from kvwire.errors import DataLossError, InvalidRequestError

LIMITS = Limits()


def layer_kv(layer=2, heads=4, tokens=6):
    generator = torch.Generator().manual_seed(0)
    keys, values = (torch.randn(heads, tokens, 64, generator=generator) for _ in range(2))
    return LayerKV(layer, keys, values, RopePhase.POST, tokens)


def through(spec, kv):
    return decode_layer(Codec(CodecSpec.parse(spec)).encode_layer(kv), LIMITS)


@pytest.mark.parametrize(
    ("mix", "layer", "keys", "values"),
    [
        ("k@fp32", 2, "ffff", "iiii"),
        ("v@fp32", 2, "iiii", "ffff"),
        ("L0-2@fp32", 2, "ffff", "ffff"),
        ("L0-1@fp32", 2, "iiii", "iiii"),
        ("H1-2@fp32", 2, "iffi", "iffi"),
        ("kL2-2H3-9@fp32", 2, "iiif", "iiii"),
        ("kH0-0@fp32/kH2-2@nf4/vL0-9@fp32", 2, "fini", "ffff"),
        ("H9-9@fp32", 2, "iiii", "iiii"),
    ],
)
def test_each_head_is_coded_by_the_base_that_its_part_names(mix, layer, keys, values):
    """Exactly as that base alone would code it; what no part covers is int4's."""
    kv = layer_kv(layer)
    alone = {name[0]: through(name, kv) for name in ("int4", "fp32", "nf4")}
    back = through(f"int4+mix={mix}", kv)
    for head in range(4):
        assert torch.equal(back.keys[head], alone[keys[head]].keys[head])
        assert torch.equal(back.values[head], alone[values[head]].values[head])


def test_a_mix_costs_the_planes_of_its_parts():
    """Keys in fp16, values in int8: the sizes add up."""
    kv = layer_kv()
    size = len(Codec(CodecSpec.parse("int8+mix=k@fp16")).encode_layer(kv))
    payload = 4 * 6 * 64 * (2 + 1) + 4 * 6 * 2
    assert payload < size < payload + 60


@pytest.mark.parametrize(
    "spec", ["int8+keep=0.5,by=value_norm,scope=head+mix=kH1-2@kivi", "int8+mix=v@nf4+entropy=zstd"]
)
def test_a_mix_goes_with_other_options(spec):
    """Each head's own tokens, and squeezed planes."""
    kv = layer_kv()
    back = through(spec, kv)
    slots = torch.arange(6).expand(4, 6) if back.slots is None else back.slots
    whole = torch.stack([kv.keys[head, slots[head]] for head in range(4)])
    assert float((back.keys - whole).abs().max()) < 0.3


@given(
    owners=st.lists(st.integers(0, 3), min_size=1, max_size=8),
)
def test_groups_put_back_are_in_the_order_of_heads(owners):
    """Whatever heads a group has."""
    x = torch.arange(len(owners))[:, None]
    base = CodecSpec.parse("fp32").base
    named = dict.fromkeys(owners)
    groups = tuple(HeadGroup(tuple(head for head, owner in enumerate(owners) if owner == name), base) for name in named)
    assert torch.equal(join([group.take(x) for group in groups], groups), x)


def test_a_group_of_all_heads_takes_the_tensor_itself():
    """A cache is not copied for nothing."""
    x = torch.zeros(2, 3, 4)
    assert HeadGroup((0, 1), CodecSpec.parse("fp32").base).take(x) is x


def test_uncovered_heads_are_one_group_and_groups_stand_by_their_first_head():
    """As the format says."""
    groups = head_groups(CodecSpec.parse("int8+mix=H1-1@fp16/H3-3@fp32"), 0, Kind.KEY, 5)
    assert [(group.heads, group.base.name) for group in groups] == [((0, 2, 4), "int8"), ((1,), "fp16"), ((3,), "fp32")]


def test_planes_of_a_group_that_the_spec_does_not_make_are_data_loss():
    """Before any of them is decoded."""
    plane = Plane("x", torch.zeros(1, 1, 1), group=1)
    data = frame.write(frame.Frame("fp32", 0, 1, 1, 1, RopePhase.POST, None, (plane,), (plane,)))
    with pytest.raises(DataLossError, match="planes of 2 groups of heads, 'fp32' makes 1"):
        decode_layer(data, LIMITS)


def test_more_groups_than_a_frame_can_number_are_refused():
    """33 parts of one head each."""
    mix = "/".join(f"kH{head}-{head}@fp16" for head in range(33))
    with pytest.raises(InvalidRequestError, match="33 groups of heads; 32 at most"):
        Codec(CodecSpec.parse(f"fp32+mix={mix}")).encode_layer(layer_kv(heads=33))
