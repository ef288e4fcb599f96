"""C2C on random checkpoints in the official layout, against float64 written from the formula."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from codec.layer import LayerKV
from codec.quantize.base import Kind
from codec.spec import RopePhase
from fuser.official.layout import read_official
from fuser.projectors import c2c_file
from fuser.registry import read_fuser
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.requests import Method

TOKENS = 5


def sharer_layer(layer, slots=None, heads=2, head_dim=8):
    kept = TOKENS if slots is None else slots.shape[-1]
    keys = torch.randn(heads, kept, head_dim, generator=torch.Generator().manual_seed(layer))
    return LayerKV(layer, keys, keys.flip(0), RopePhase.POST, TOKENS, slots)


def own_layer(target):
    keys = torch.randn(3, TOKENS, 6, generator=torch.Generator().manual_seed(100 + target))
    return keys, keys.flip(0)


def test_every_layer_is_what_float64_makes_of_the_formula(checkpoint, official_c2c):
    """Keys and values, open gates and closed ones; float32 rounding is all that differs."""
    fuser = read_official(checkpoint)
    for target, source in enumerate((0, 0, 1, 2)):
        tensors = torch.load(checkpoint / "final" / f"projector_{target}.pt", weights_only=True)
        kv, own = sharer_layer(source), own_layer(target)
        fused = fuser.fuse(target, {source: kv}, *own)
        for half, theirs, ours, got in zip(("key", "value"), (kv.keys, kv.values), own, fused, strict=True):
            assert (got - official_c2c.reference(tensors, half, theirs, ours)).abs().max() < 1e-5
        assert (fused[0] is own[0]) == (target in {0, 2})


def test_the_zeroed_control_is_the_formula_with_a_sharer_of_zeros(checkpoint, official_c2c):
    """Whatever the sharer sends; the fuser itself hears it still."""
    fuser = read_official(checkpoint)
    control, own = fuser.zeroed(), own_layer(1)
    tensors = torch.load(checkpoint / "final" / "projector_1.pt", weights_only=True)
    kv = sharer_layer(0)
    for half, ours, got in zip(("key", "value"), own, control.fuse(1, {0: kv}, *own), strict=True):
        wanted = official_c2c.reference(tensors, half, torch.zeros_like(kv.keys), ours)
        assert (got - wanted).abs().max() < 1e-5
    assert (fuser.fuse(1, {0: kv}, *own)[1] - control.fuse(1, {0: kv}, *own)[1]).abs().max() > 1e-3
    assert control.fingerprint != fuser.fingerprint
    assert control.source_layers(1) == fuser.source_layers(1)


def test_only_what_open_gates_take_is_asked_for(checkpoint):
    """Layer 0 of the receiver has both gates closed, layer 2 the one of its keys."""
    fuser = read_official(checkpoint)
    assert [fuser.source_layers(target) for target in range(5)] == [(), (0,), (1,), (2,), ()]
    assert fuser.halves(0) == fuser.halves(2) == {Kind.KEY, Kind.VALUE}
    assert fuser.halves(1) == {Kind.VALUE}


def test_a_gate_opens_above_zero_only(tmp_path, official_c2c):
    """Exactly 0 is closed, the smallest number above it is open."""
    gates = [{"key": 0.0, "value": 1e-38}]
    fuser = read_official(official_c2c.write_checkpoint(tmp_path / "gates", (1, 2, 8), (1, 3, 6), gates))
    assert fuser.halves(0) == {Kind.VALUE}
    fuser.place(torch.device("cpu"), torch.float16)
    assert fuser.halves(0) == {Kind.VALUE}


def test_a_converted_file_is_the_same_fuser(checkpoint, pair, tmp_path):
    """Same numbers, bound to both models; the original folder is no longer needed."""
    original = read_official(checkpoint)
    sharer, receiver = (card.binding for card in pair)
    c2c_file.write(original.bound(sharer, receiver), tmp_path / "fuser.safetensors", {"how": "a test"})
    converted = read_fuser(tmp_path / "fuser.safetensors")
    converted.check(*pair)
    assert converted.fingerprint != original.fingerprint
    for target in range(4):
        sources = {source: sharer_layer(source) for source in original.source_layers(target)}
        one, other = (each.fuse(target, sources, *own_layer(target)) for each in (converted, original))
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
    assert load_file(tmp_path / "fuser.safetensors").keys() == original.weights().keys()


@pytest.mark.parametrize(
    ("side", "change"),
    [("sharer", {"kv_heads": 4}), ("receiver", {"head_dim": 12}), ("sharer", {"least_layers": 2})],
    ids=["other heads", "another head_dim", "a layer that is not there"],
)
def test_a_file_whose_projectors_are_for_other_models_than_it_says_is_refused(checkpoint, tmp_path, side, change):
    """When it is read, not in the middle of an answer."""
    fuser = read_official(checkpoint)
    fuser.pairing = dataclasses.replace(
        fuser.pairing, **{side: dataclasses.replace(getattr(fuser.pairing, side), **change)}
    )
    c2c_file.write(fuser, tmp_path / "fuser.safetensors", {})
    with pytest.raises(BindingError, match="for other models than the file"):
        read_fuser(tmp_path / "fuser.safetensors")


@pytest.mark.parametrize("side", [0, 1], ids=["sharer", "receiver"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kv_heads": 5}, "kv heads 5 instead of"),
        ({"head_dim": 10}, "head_dim 10 instead of"),
        ({"layers": ()}, "0 layers"),
    ],
    ids=["kv heads", "head_dim", "layers"],
)
def test_models_of_another_geometry_are_refused(checkpoint, pair, side, change, words):
    """On either side, saying what differs."""
    cards = list(pair)
    cards[side] = dataclasses.replace(cards[side], **change)
    with pytest.raises(BindingError, match=words):
        read_official(checkpoint).check(*cards)


@pytest.mark.parametrize("side", [0, 1], ids=["sharer", "receiver"])
@pytest.mark.parametrize("what", ["weights_fingerprint", "tokenizer_fingerprint"])
def test_another_revision_or_tokenizer_is_refused_once_a_fuser_is_bound(checkpoint, pair, side, what):
    """The message says which of the two."""
    fuser = read_official(checkpoint).bound(*(card.binding for card in pair))
    cards = list(pair)
    changed = dataclasses.replace(cards[side].binding, **{what: b"x" * 32})
    cards[side] = dataclasses.replace(cards[side], binding=changed)
    with pytest.raises(BindingError, match=r"another (revision or weights|tokenizer)") as caught:
        fuser.check(*cards)
    assert ("tokenizer" in str(caught.value)) == (what == "tokenizer_fingerprint")


def test_an_unbound_fuser_takes_no_two_tokenizers_on_trust(checkpoint, pair, other):
    """The official folder names models but proves nothing; the message says how to bind it."""
    sharer, receiver = pair
    with pytest.raises(BindingError, match="kvwire fuser convert"):
        read_official(checkpoint).check(other(sharer), receiver)
    bound = read_official(checkpoint).bound(other(sharer).binding, receiver.binding)
    bound.check(other(sharer), receiver)


def test_a_fuser_of_hub_models_is_not_bound_to_others(checkpoint, pair):
    """The recipe's name on the hub is held against the model's."""
    config = checkpoint / "config.json"
    config.write_text(config.read_text().replace('"sharer"', '"Qwen/Qwen2.5-0.5B"'))
    sharer, receiver = pair
    named = dataclasses.replace(sharer.binding, id="meta-llama/Llama-3.2-1B")
    with pytest.raises(BindingError, match=r"made for Qwen/Qwen2\.5-0\.5B, not for meta-llama"):
        read_official(checkpoint).bound(named, receiver.binding)
    with pytest.raises(BindingError, match="another name"):
        read_official(checkpoint).check(dataclasses.replace(sharer, binding=named), receiver)


def test_a_prefix_is_not_offered(checkpoint):
    """C2C corrects a cache the receiver has; in a prefix it has none."""
    fuser = read_official(checkpoint)
    assert fuser.methods == {Method.FUSE}
    with pytest.raises(InvalidRequestError, match="method prefix; ask for fuse"):
        fuser.project(1, {0: sharer_layer(0)})


def test_a_sharer_of_another_depth_is_refused_by_its_mapping(checkpoint, pair):
    """One layer more, and last_aligned would take other layers than the checkpoint does."""
    sharer, receiver = pair
    deeper = dataclasses.replace(sharer, layers=sharer.layers * 2)
    with pytest.raises(BindingError, match="made for models of other depths"):
        read_official(checkpoint).check(deeper, receiver)
