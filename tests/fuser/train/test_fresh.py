"""A fuser that has learned nothing yet."""

from dataclasses import replace

import pytest
import torch

from codec.quantize.base import Kind
from fuser.projectors import c2c_file
from fuser.registry import read_fuser
from fuser.train.fresh import fresh
from kvwire.errors import BindingError, InvalidRequestError


def made(pair, hidden=16, layers=3, mapping="last_aligned", seed=0):
    return fresh(*pair, hidden, 12, layers, mapping, seed)


def test_it_changes_no_cache_and_is_bound_to_its_pair(pair, tmp_path):
    """Read back from its file: every gate is closed, and another revision is refused."""
    c2c_file.write(made(pair), tmp_path / "fresh.safetensors", {"how": "fresh"})
    back = read_fuser(tmp_path / "fresh.safetensors")
    back.check(*pair)
    assert [projector.source for projector in back.projectors.values()] == [0, 0, 1, 2]
    assert not any(projector.open(half) for projector in back.projectors.values() for half in Kind)
    sharer, receiver = pair
    newer = replace(sharer, binding=replace(sharer.binding, weights_fingerprint=b"x" * 32))
    with pytest.raises(BindingError, match="another revision"):
        back.check(newer, receiver)


def test_its_numbers_are_spread_as_torch_begins_a_linear_layer(pair):
    """Within 1 / sqrt(inputs), reaching near it, biases too."""
    weights = made(pair, hidden=64).weights()
    for name, inputs in (("key_in", 34), ("value_proj_out", 64), ("key_scalar_head", 64)):
        largest = max(float(weights[f"projector_1.{name}.{part}"].abs().max()) for part in ("weight", "bias"))
        assert 0.9 < largest * inputs**0.5 <= 1
    assert (weights["projector_0.key_mlp1.blocks.0.norm.weight"] == 1).all()


def test_a_seed_makes_the_same_fuser_again(pair):
    """And another seed another one; no two layers are alike."""
    one, again, other = (made(pair, seed=seed).weights() for seed in (1, 1, 2))
    name = "projector_0.key_in.weight"
    assert torch.equal(one[name], again[name])
    assert not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], one["projector_1.key_in.weight"])


def test_what_cannot_be_made_is_refused(pair):
    """Two tokenizers, an unknown mapping, fewer layers than a projector has, or wider ones."""
    sharer, receiver = pair
    stranger = replace(sharer, binding=replace(sharer.binding, tokenizer_fingerprint=b"o" * 32))
    with pytest.raises(BindingError, match="tokenizers of their own"):
        made((stranger, receiver))
    with pytest.raises(InvalidRequestError, match="last_aligned, k_nearest"):
        made(pair, mapping="first")
    for sizes in ({"layers": 2}, {"hidden": 1 << 17}):
        with pytest.raises(InvalidRequestError, match="up to 65536 wide and 3 to 64 layers deep"):
            made(pair, **sizes)
