"""Every codec and every fuser where a model computes on another device than the one that codes."""

import dataclasses

import pytest
import torch

from codec import registry
from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.layer import LayerKV
from codec.quantize.base import Context, Kind
from codec.spec import CodecSpec, RopePhase
from kvwire.requests import Method
from sharer_service.host_copy import host_copy

#: Bases that need tables of a model, and what marks a half that is not sent at all.
_ELSEWHERE = {"rd", "omit"}
SPECS = [
    *sorted(set(registry.QUANTIZERS) - _ELSEWHERE),
    "int8+keep=0.5,by=value_norm,scope=head",
    "int4+keep=0.5,by=attention",
    "nf4+entropy=zstd",
]


def cache(layers=3, kv_heads=2, tokens=40, head_dim=64):
    generator = torch.Generator().manual_seed(0)
    shape = (layers, kv_heads, tokens, head_dim)
    keys, values = (torch.randn(shape, generator=generator) for _ in range(2))
    return keys, values, torch.rand(shape[:3], generator=generator)


def on_the_host(device, dtype=torch.float32):
    """All layers of a cache on a device, as a sharer gets them to its codec."""
    keys, values, attention = cache()
    copier, arrived = host_copy(device), []
    for index in range(len(keys)):
        there = [each[index].to(device) for each in (keys.to(dtype), values.to(dtype), attention)]
        arrived += copier.push((index, *there))
        for each in there:
            each.mul_(1)  # still the model's; it goes on with them
    return arrived + copier.flush()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_layers_reach_the_host_in_order_as_they_were(device, dtype):
    """Keys, values and attention of each."""
    keys, values, attention = cache()
    found = on_the_host(device, dtype)
    assert [layer[0] for layer in found] == list(range(len(keys)))
    for index, own_keys, own_values, drawn in found:
        assert {each.device.type for each in (own_keys, own_values, drawn)} == {"cpu"}
        assert torch.equal(own_keys, keys[index].to(dtype))
        assert torch.equal(own_values, values[index].to(dtype))
        assert torch.equal(drawn, attention[index])


@pytest.mark.parametrize("spec", SPECS)
def test_a_cache_of_any_device_is_the_same_message_and_comes_back_there(device, spec):
    """Byte for byte what the CPU's cache gives; decoded, it goes to the device unchanged."""
    codec, (keys, values, attention) = Codec(CodecSpec.parse(spec)), cache()
    positions = torch.arange(keys.shape[2])
    for index, own_keys, own_values, drawn in on_the_host(device):
        sent, plain = (
            codec.encode_layer(LayerKV(index, *kv, RopePhase.POST, tokens=keys.shape[2], attention=seen), positions)
            for *kv, seen in ((own_keys, own_values, drawn), (keys[index], values[index], attention[index]))
        )
        assert sent == plain
        back = decode_layer(sent, Limits())
        assert torch.equal(back.keys.to(device).cpu(), back.keys)
        assert torch.equal(back.values.to(device).cpu(), back.values)


@pytest.mark.parametrize("base", sorted(set(registry.QUANTIZERS) - _ELSEWHERE))
def test_a_quantizer_given_a_tensor_of_a_device_works_there_within_its_bound(device, base):
    """As benchmarks of codecs do, without a copy to the host."""
    x = cache()[0][0].to(device)
    quantizer = registry.resolve(base, {})
    context = Context(0, Kind.KEY, *x.shape, torch.arange(x.shape[1], device=device))
    planes = quantizer.encode(x, context)
    back = quantizer.decode(planes, context)
    assert {plane.data.device.type for plane in planes} == {back.device.type} == {device.type}
    slack = 4 * torch.finfo(torch.float32).eps * x.abs().amax() + torch.finfo(torch.float32).tiny
    assert ((back - x).abs() <= quantizer.error_bound(x) + slack).all()


def close(found, wanted, device):
    assert found.device.type == device.type
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pruned", [False, True], ids=["whole", "pruned"])
def test_a_fuser_computes_where_the_receiver_does(made, device, pruned):
    """From layers that were decoded on the host; the same as on the CPU, within 1e-4."""
    slots = torch.tensor([1, 4, 6]) if pruned else None
    given, own = made.sources(made.open_target, slots), made.own()
    wanted = _made_of(made, given, own)
    made.fuser.place(device, torch.float32)
    for found, expected in zip(_made_of(made, given, [each.to(device) for each in own]), wanted, strict=True):
        # What is projected may still be on the host: the receiver moves it when it places it.
        close(found.to(device), expected, device)


def _made_of(made, given, own):
    fresh = {layer: dataclasses.replace(kv) for layer, kv in given.items()}
    if Method.FUSE in made.fuser.methods:
        return made.fuser.fuse(made.open_target, fresh, *own)
    projected = made.fuser.project(made.open_target, fresh)
    return projected.keys, projected.values
