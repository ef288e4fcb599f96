"""Comparing scorings."""

import pytest
import torch

from kvwire.engine.compare import KeptDistributions, divergences
from kvwire.errors import InvalidRequestError, NotFoundError

TOKENS = ((1, 2), (3,))


def distributions(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.log_softmax(torch.randn(len(t), 8, generator=generator), -1) for t in TOKENS]


def test_divergence_follows_its_definition():
    """KL(p || q) = sum p (log p - log q), in float64 by hand."""
    p, q = distributions(0)[0], distributions(1)[0]
    kl, same = divergences(p, q)
    expected = (p.double().exp() * (p.double() - q.double())).sum(-1)
    assert kl == pytest.approx(expected.tolist(), abs=1e-6)
    assert same == tuple((p.argmax(-1) == q.argmax(-1)).tolist())


def test_equal_distributions_do_not_diverge():
    """Never below zero either."""
    p = distributions(0)[0]
    assert divergences(p, p) == ((0.0, 0.0), (True, True))


def test_a_kept_scoring_is_found_by_its_caller_alone():
    """Another caller's id is as unknown as one that never was."""
    kept = KeptDistributions()
    kept.put("mia", "r1", TOKENS, distributions(0))
    assert torch.equal(kept.get("mia", "r1", TOKENS)[0], distributions(0)[0])
    for caller, request_id in (("tom", "r1"), ("mia", "r2")):
        with pytest.raises(NotFoundError):
            kept.get(caller, request_id, TOKENS)


def test_other_continuations_are_not_compared():
    """Rows would not stand for the same tokens."""
    kept = KeptDistributions()
    kept.put("mia", "r1", TOKENS, distributions(0))
    with pytest.raises(InvalidRequestError, match="other continuations"):
        kept.get("mia", "r1", ((1, 2), (4,)))


def test_the_oldest_scoring_makes_room():
    """The budget holds two of these."""
    kept = KeptDistributions(max_bytes=2 * 3 * 8 * 4)
    for name in ("r1", "r2", "r3"):
        kept.put("mia", name, TOKENS, distributions(0))
    with pytest.raises(NotFoundError):
        kept.get("mia", "r1", TOKENS)
    assert kept.get("mia", "r2", TOKENS)


def test_a_scoring_beyond_the_budget_is_refused():
    """Before anything else is thrown out for it."""
    with pytest.raises(InvalidRequestError, match="96 bytes"):
        KeptDistributions(max_bytes=95).put("mia", "r1", TOKENS, distributions(0))
