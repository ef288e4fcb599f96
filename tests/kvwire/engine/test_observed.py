"""Observed attention against transformers' own weights in float64."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from kvwire.engine.attention import OBSERVED_QUERIES, AttentionObserver

TOKENS = tuple(torch.randint(4, 512, (40,), generator=torch.Generator().manual_seed(1)).tolist())


def observed(engine, tokens, queries=OBSERVED_QUERIES):
    seen = {}
    engine.read(tokens, engine.new_cache(), 0, AttentionObserver(seen.__setitem__, queries))
    return seen


@pytest.mark.parametrize("count", [OBSERVED_QUERIES, 3])
def test_observed_attention_is_the_mean_weight_of_the_last_queries(engine, family, count):
    """Per key-value head, windows included, over the queries that see a token; as many as were asked for."""
    model = AutoModelForCausalLM.from_pretrained(family, dtype=torch.float64, attn_implementation="eager").eval()
    with torch.inference_mode():
        weights = model(torch.tensor([list(TOKENS)]), use_cache=False, output_attentions=True).attentions
    found = observed(engine, TOKENS, count)
    for layer, weight in enumerate(weights):
        last = weight[0, :, -count:].reshape(2, 2, count, len(TOKENS)).mean(dim=1)
        queries = (last > 0).any(dim=0).sum(dim=0).clamp(min=1)
        torch.testing.assert_close(found[layer].double(), last.sum(dim=1) / queries, atol=1e-5, rtol=0)


def test_a_context_shorter_than_the_window_is_observed_whole(engine):
    """Five tokens, five queries."""
    found = observed(engine, TOKENS[:5])
    assert all(tuple(mass.shape) == (2, 5) for mass in found.values())
    assert len(found) == len(engine.card.layers)


def test_observing_does_not_change_what_is_computed(engine):
    """The cache is the same to the bit."""
    plain, watched = engine.new_cache(), engine.new_cache()
    engine.read(TOKENS, plain, 0)
    engine.read(TOKENS, watched, 0, AttentionObserver(lambda *_: None))
    assert torch.equal(plain.layer(3)[0], watched.layer(3)[0])
