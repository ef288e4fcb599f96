"""The identity fuser."""

import dataclasses

import pytest
import torch

from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.registry import FUSERS, Fusers
from kvwire.errors import BindingError, InvalidRequestError, NotFoundError
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope

BINDING = ModelBinding("tiny", "1", b"w" * 32, b"t" * 32)
CARD = ModelCard(
    BINDING, "llama", "", "float32", "cpu", 2, 4, 9, 9, (Rope("default", (1.0,), 1.0),), (LayerCard(0, 0),)
)


def layer(slots=None):
    kept = 5 if slots is None else slots.shape[-1]
    keys = torch.arange(2 * kept * 4, dtype=torch.float32).reshape(2, kept, 4) + 100
    return LayerKV(0, keys, -keys, RopePhase.POST, 5, slots)


def test_one_model_on_both_sides_is_accepted():
    """The id may differ: fingerprints decide."""
    renamed = dataclasses.replace(CARD, binding=dataclasses.replace(BINDING, id="other name"))
    Fusers().named("identity").check(renamed, CARD)


@pytest.mark.parametrize("what", ["weights_fingerprint", "tokenizer_fingerprint"])
def test_other_weights_or_another_tokenizer_are_refused(what):
    """The message names both models."""
    other = dataclasses.replace(BINDING, id="qwen", **{what: b"x" * 32})
    with pytest.raises(BindingError, match=r"sharer runs qwen and the receiver tiny"):
        Fusers().named("identity").check(dataclasses.replace(CARD, binding=other), CARD)


def test_a_whole_layer_replaces_the_receivers():
    """Every token."""
    keys, values = Fusers().named("identity").fuse(0, {0: layer()}, torch.zeros(2, 5, 4), torch.zeros(2, 5, 4))
    assert torch.equal(keys, layer().keys)
    assert torch.equal(values, layer().values)


@pytest.mark.parametrize("slots", [torch.tensor([1, 4]), torch.tensor([[1, 4], [0, 2]])], ids=["layer", "head"])
def test_a_pruned_token_keeps_the_receivers_own(slots):
    """Kept slots are replaced, head by head; the others stay."""
    own = torch.zeros(2, 5, 4)
    keys, _ = Fusers().named("identity").fuse(0, {0: layer(slots)}, own, own)
    for head in range(2):
        kept = slots[head] if slots.ndim > 1 else slots
        assert torch.equal(keys[head, kept], layer(slots).keys[head])
        dropped = [t for t in range(5) if t not in kept.tolist()]
        assert not keys[head, dropped].any()
    assert not own.any()


def test_an_unknown_fuser_is_named_with_those_there_are():
    """A list to choose from."""
    with pytest.raises(NotFoundError, match=", ".join(FUSERS)):
        Fusers().named("magic")


def test_there_is_nothing_left_of_it_without_the_sharer():
    """Zeros in the receiver's cache would be tokens of their own, not the lack of a sharer."""
    with pytest.raises(InvalidRequestError, match="its control is receiver_only"):
        Fusers().named("identity:zeroed")
