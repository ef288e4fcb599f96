"""Gates that are soft while they are learned, and a trainee that computes what its fuser will."""

import pytest
import torch

from codec.quantize.base import Kind
from fuser.projectors.c2c import C2CFuser
from fuser.train.c2c_trainee import C2CTrainee
from fuser.train.fresh import fresh
from fuser.train.gates import gates_at, temperature_at


@pytest.fixture
def fuser(pair):
    return fresh(*pair, 16, 12, 3, "last_aligned", 0)


def with_gates(fuser, logit):
    for projector in fuser.projectors.values():
        projector.weights.update({f"{half}_gate_logit": torch.tensor(logit) for half in ("key", "value")})
    return fuser


def test_gates_harden_from_1_to_a_thousandth():
    """By the same factor every step."""
    assert [temperature_at(step, 100) for step in (0, 50, 100)] == pytest.approx([1, 0.001**0.5, 0.001])


def test_a_gate_without_an_opinion_opens_half_the_time():
    """As it is closed or open at inference by the sign of its logit; late in a training it is nearly 0 or 1."""
    early, late = (gates_at(step, 100, seed=0).gate(torch.tensor(0.0), 40, 500) for step in (0, 99))
    assert float((late > 0.5).float().mean()) == pytest.approx(0.5, abs=0.02)
    assert float((late * (1 - late) > 0.01).float().mean()) < 0.02
    assert float((early * (1 - early) > 0.01).float().mean()) > 0.9


def test_a_step_draws_the_same_gates_whenever_it_is_taken():
    """Another step draws others, and so does another seed."""
    first, again, later, other = (
        gates_at(step, 100, seed).gate(torch.tensor(0.3), 3, 5) for step, seed in ((7, 0), (7, 0), (8, 0), (7, 1))
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, later, atol=1e-3)
    assert not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize("slots", [None, torch.tensor([0, 2, 8])], ids=["all tokens", "pruned"])
@pytest.mark.parametrize("logit", [30.0, -30.0], ids=["open", "closed"])
def test_gates_that_are_sure_make_training_compute_what_inference_does(fuser, pair, layers_of, slots, logit):
    """The same numbers by both ways; a token that the sharer pruned keeps the receiver's own."""
    sharer, receiver = layers_of(pair[0], 1, slots), layers_of(pair[1], 2)
    (found,) = C2CTrainee(with_gates(fuser, logit))([(sharer, receiver)], gates_at(0, 1, seed=0))
    for own, (keys, values) in zip(receiver, found, strict=True):
        sources = {layer: sharer[layer] for layer in fuser.source_layers(own.layer)}
        wanted = fuser.fuse(own.layer, sources, own.keys, own.values)
        assert torch.allclose(keys, wanted[0], atol=1e-5)
        assert torch.allclose(values, wanted[1], atol=1e-5)
        assert torch.equal(keys[:, 1], own.keys[:, 1]) == (logit < 0 or slots is not None)


def test_every_weight_learns(fuser, pair, layers_of):
    """Of every layer, keys and values, gates too."""
    trainee = C2CTrainee(fuser)
    (found,) = trainee([(layers_of(pair[0], 1), layers_of(pair[1], 2))], gates_at(0, 1, seed=0))
    sum((keys**2).sum() + (values**2).sum() for keys, values in found).backward()
    assert all(bool(number.grad.any()) for number in trainee.parameters())
    assert len(list(trainee.parameters())) == len(fuser.weights()) - len(fuser.projectors)


def test_a_gate_opens_where_the_sharer_is_wanted_and_closes_where_not(fuser, pair, layers_of):
    """Layers 0 and 1 are to be as they were, 2 and 3 as the sharer's numbers say; the fuser then has hard gates."""
    trainee, steps = C2CTrainee(fuser), 60
    optimizer = torch.optim.Adam(trainee.parameters(), 1e-2)
    maps = torch.randn(16, 18, generator=torch.Generator().manual_seed(5)) / 4

    def wanted(layer, own, theirs):
        numbers = theirs.transpose(0, 1).flatten(1) @ maps
        return own + (layer > 1) * numbers.view(-1, 3, 6).transpose(0, 1)

    for step in range(steps):
        sharer, receiver = layers_of(pair[0], 2 * step), layers_of(pair[1], 2 * step + 1)
        (found,) = trainee([(sharer, receiver)], gates_at(step, steps, seed=0))
        lost = torch.tensor(0.0)
        for own, (keys, values) in zip(receiver, found, strict=True):
            theirs = sharer[fuser.projectors[own.layer].source]
            lost = lost + (keys - wanted(own.layer, own.keys, theirs.keys)).square().mean()
            lost = lost + (values - wanted(own.layer, own.values, theirs.values)).square().mean()
        optimizer.zero_grad()
        lost.backward()
        optimizer.step()
    trained = C2CFuser(trainee.trained(fuser), fuser.pairing, b"", fuser.mapping)
    opened = [[projector.open(half) for half in Kind] for projector in trained.projectors.values()]
    assert opened == [[False, False], [False, False], [True, True], [True, True]]
    assert trained.source_layers(0) == ()
