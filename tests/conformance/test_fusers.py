"""What every fuser promises, checked on every fuser the registry offers; ``made`` is each in turn."""

import dataclasses

import pytest
import torch

from codec.quantize.base import Kind
from codec.spec import RopePhase
from fuser.base import MixingScope
from fuser.latents import Divisible, FirstHalf, second_half
from fuser.layers import rope_table
from fuser.registry import FUSERS, KINDS, read_fuser
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.requests import Method


def needs(method, made):
    if method not in made.fuser.methods:
        pytest.skip(f"{made.fuser.name} does not offer {method}")


def test_every_registered_fuser_has_a_row(makers):
    """A fuser that is not checked here is not offered."""
    assert set(makers) == set(FUSERS) | set(KINDS)


def test_the_pair_it_was_made_for_is_accepted(made):
    """And it declares what the services go by."""
    made.fuser.check(made.sharer, made.receiver)
    assert made.fuser.methods
    assert isinstance(made.fuser.scope, MixingScope)
    assert isinstance(made.fuser.rope, RopePhase)


@pytest.mark.parametrize("side", ["sharer", "receiver"])
@pytest.mark.parametrize("what", ["weights_fingerprint", "tokenizer_fingerprint"])
def test_a_wrong_pair_is_refused(made, side, what):
    """Another revision, other weights, another tokenizer, on either side."""
    cards = {"sharer": made.sharer, "receiver": made.receiver}
    changed = dataclasses.replace(cards[side].binding, **{what: b"x" * 32})
    cards[side] = dataclasses.replace(cards[side], binding=changed)
    with pytest.raises(BindingError):
        made.fuser.check(**cards)


def test_source_layers_are_the_sharers_ascending_and_each_has_a_half_to_send(made):
    """Nothing is asked for in vain."""
    for target in range(len(made.receiver.layers)):
        layers = made.fuser.source_layers(target)
        assert list(layers) == sorted(set(layers))
        assert all(0 <= layer < len(made.sharer.layers) for layer in layers)
        assert all(made.fuser.halves(layer) for layer in layers)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fused_layer_has_the_receivers_shape_and_dtype(made, dtype):
    """And the tensors given stay as they are."""
    needs(Method.FUSE, made)
    made.fuser.place(torch.device("cpu"), dtype)
    keys, values = (each.to(dtype) for each in made.own())
    before = keys.clone(), values.clone()
    for target in range(len(made.receiver.layers)):
        fused = made.fuser.fuse(target, made.sources(target), keys, values)
        assert all((each.shape, each.dtype) == (keys.shape, dtype) for each in fused)
        assert all(torch.isfinite(each).all() for each in fused)
    assert torch.equal(keys, before[0])
    assert torch.equal(values, before[1])


def test_a_projected_layer_has_the_receivers_shape(made):
    """Float32, with the slots of its source."""
    needs(Method.PREFIX, made)
    for target in range(len(made.receiver.layers)):
        kv = made.fuser.project(target, made.sources(target))
        shape = (made.receiver.kv_heads, made.tokens, made.receiver.head_dim)
        assert (tuple(kv.keys.shape), tuple(kv.values.shape)) == (shape, shape)
        assert kv.keys.dtype == kv.values.dtype == torch.float32


def test_its_two_halves_are_the_whole(made):
    """Cut in two, one half at each end, it gives the same layers; a fuser in one piece says so."""
    if not isinstance(made.fuser, Divisible):
        with pytest.raises(InvalidRequestError, match="cannot be cut in two"):
            second_half(made.fuser)
        return
    second, first = second_half(made.fuser), FirstHalf(made.fuser, rope_table(made.sharer), 0)
    whole = {layer: kv for target in range(len(made.receiver.layers)) for layer, kv in made.sources(target).items()}
    sent = {kv.layer: kv for layer in sorted(whole) for kv in first(whole[layer])}
    card = second.sent_by(made.sharer)
    assert list(sent) == list(range(len(card.layers)))
    assert {tuple(kv.keys.shape) for kv in sent.values()} == {(card.kv_heads, made.tokens, card.head_dim)}
    for target in range(len(made.receiver.layers)):
        wanted = made.fuser.project(target, {layer: whole[layer] for layer in made.fuser.source_layers(target)})
        found = second.project(target, {layer: sent[layer] for layer in second.source_layers(target)})
        assert torch.allclose(found.keys, wanted.keys, atol=1e-5)
        assert torch.allclose(found.values, wanted.values, atol=1e-5)


def test_a_method_it_does_not_offer_is_refused(made):
    """With those it offers."""
    calls = {
        Method.PREFIX: lambda: made.fuser.project(made.open_target, made.sources(made.open_target)),
        Method.FUSE: lambda: made.fuser.fuse(made.open_target, made.sources(made.open_target), *made.own()),
    }
    for method in calls.keys() - made.fuser.methods:
        with pytest.raises(InvalidRequestError, match="ask for"):
            calls[method]()


def test_it_comes_back_from_a_file_as_it_was(made, tmp_path):
    """Same weights, same results, still bound to its pair, and its fingerprint is the file's."""
    if made.write is None:
        assert not made.fuser.weights()
        return
    made.write(made.fuser, tmp_path / "one.safetensors")
    made.write(made.fuser, tmp_path / "two.safetensors")
    back = read_fuser(tmp_path / "one.safetensors")
    assert len(back.fingerprint) == 32
    assert back.fingerprint == read_fuser(tmp_path / "two.safetensors").fingerprint
    assert back.weights().keys() == made.fuser.weights().keys()
    assert all(torch.equal(tensor, back.weights()[name]) for name, tensor in made.fuser.weights().items())
    back.check(made.sharer, made.receiver)
    with pytest.raises(BindingError):
        back.check(made.receiver, made.sharer)


def test_gradients_reach_the_weights_that_were_used_and_no_others(made):
    """Those of the open target's projector; weights behind a closed gate, and the hard gates, get none."""
    weights = made.fuser.weights()
    if not weights:
        pytest.skip(f"{made.fuser.name} has no weights")
    for name, tensor in weights.items():
        tensor.requires_grad_(not name.endswith(("mean", "spread")))
    given = made.sources(made.open_target)
    if Method.FUSE in made.fuser.methods:
        keys, values = made.fuser.fuse(made.open_target, given, *made.own())
        stem = f"projector_{made.open_target}."
    else:
        kv = made.fuser.project(made.open_target, given)
        keys, values, stem = kv.keys, kv.values, "0."
    (keys.square().sum() + values.square().sum()).backward()
    for name, tensor in weights.items():
        used = name.startswith(stem) and not name.endswith(("gate_logit", "gate_temperature", "mean", "spread"))
        assert (tensor.grad is not None and bool(tensor.grad.any())) == used, name


def test_a_closed_gate_is_exactly_the_receivers_own(made):
    """Bit for bit, without any source."""
    if made.closed_target is None:
        pytest.skip(f"{made.fuser.name} has no gates")
    keys, values = made.own()
    assert made.fuser.source_layers(made.closed_target) == ()
    fused = made.fuser.fuse(made.closed_target, {}, keys, values)
    assert torch.equal(fused[0], keys)
    assert torch.equal(fused[1], values)


def fused(made, slots=None):
    return made.fuser.fuse(made.open_target, made.sources(made.open_target, slots), *made.own())


@pytest.mark.parametrize("slots", [torch.tensor([1, 4]), torch.tensor([[1, 4], [0, 4]])], ids=["layer", "head"])
def test_the_mixing_scope_is_honoured_under_pruning(made, slots):
    """A token that is not whole to the fuser keeps the receiver's own; a whole one is fused."""
    needs(Method.FUSE, made)
    if made.fuser.scope is MixingScope.ALL_LAYERS:
        pytest.skip("a token may be missing from other layers, which this suite does not send")
    keys, values = made.own()
    got = fused(made, slots)
    for head in range(made.receiver.kv_heads):
        whole = _whole(made.fuser.scope, slots, head)
        for token in range(made.tokens):
            for half, before in zip(got, (keys, values), strict=True):
                assert torch.equal(half[head, token], before[head, token]) == (token not in whole)


def _whole(scope, slots, head):
    if slots.ndim == 1:
        return set(slots.tolist())
    rows = [set(row) for row in slots.tolist()]
    return rows[head] if scope is MixingScope.HEAD else set.intersection(*rows)


@pytest.mark.parametrize("kind", list(Kind))
def test_what_a_whole_token_becomes_does_not_depend_on_what_was_pruned(made, kind):
    """Its numbers are those of the unpruned layer: no zero, and no neighbour, was mixed in."""
    needs(Method.FUSE, made)
    at = list(Kind).index(kind)
    slots = torch.tensor([2, 5])
    whole = made.sources(made.open_target)
    kept = {
        layer: dataclasses.replace(kv, keys=kv.keys[:, slots], values=kv.values[:, slots], slots=slots)
        for layer, kv in whole.items()
    }
    all_tokens = made.fuser.fuse(made.open_target, whole, *made.own())[at]
    pruned = made.fuser.fuse(made.open_target, kept, *made.own())[at]
    assert (all_tokens[:, slots] - pruned[:, slots]).abs().max() < 1e-6


def pruned(kv, slots):
    """A layer of which each head kept its own tokens."""
    taken = slots[..., None].expand(-1, -1, kv.keys.shape[-1])
    return dataclasses.replace(kv, keys=kv.keys.gather(1, taken), values=kv.values.gather(1, taken), slots=slots)


def test_what_is_missing_of_a_token_is_its_mean_when_all_layers_are_mixed(made):
    """A number that was pruned tells the same as one that is exactly the mean; a token without any is absent."""
    needs(Method.PREFIX, made)
    if made.fuser.scope is not MixingScope.ALL_LAYERS:
        pytest.skip(f"{made.fuser.name} mixes no layers")
    whole = made.sources(0)
    slots = torch.tensor([[1, 4], [4, 6]])
    mean = made.fuser.weights()["0.mean"].view(2, 2, made.sharer.kv_heads, 1, made.sharer.head_dim)
    kept = torch.zeros(made.sharer.kv_heads, made.tokens, 1).scatter_(1, slots[..., None], 1.0)
    filled = {
        layer: dataclasses.replace(
            kv,
            keys=kv.keys * kept + mean[layer, 0] * (1 - kept),
            values=kv.values * kept + mean[layer, 1] * (1 - kept),
        )
        for layer, kv in whole.items()
    }
    got = made.fuser.project(0, {layer: pruned(kv, slots) for layer, kv in whole.items()})
    wanted = made.fuser.project(0, filled)
    assert got.slots.tolist() == [1, 4, 6]
    assert (got.keys - wanted.keys[:, got.slots]).abs().max() < 1e-5
    assert (got.values - wanted.values[:, got.slots]).abs().max() < 1e-5
