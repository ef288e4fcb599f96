"""The engine against transformers' own forward pass in float64."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from kvwire.engine.decode import chosen, continuation_distributions, together
from kvwire.engine.engine import Part
from kvwire.errors import CancelledError, InputTooLongError, InvalidRequestError

TOKENS = tuple(torch.randint(4, 512, (40,), generator=torch.Generator().manual_seed(1)).tolist())


def test_a_prefill_in_one_piece_equals_the_reference(engine, reference):
    """Windows, RoPE and masks are those of the model."""
    logits = engine.next_logits(TOKENS, engine.new_cache(), 0)
    torch.testing.assert_close(logits.double(), reference(TOKENS)[-1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("split", [1, 7, 8, 9, 39])
def test_a_prefill_in_two_pieces_equals_the_reference(engine, reference, split):
    """The second piece sees the first through the cache, across window borders too."""
    cache = engine.new_cache()
    engine.read(TOKENS[:split], cache, 0)
    logits = engine.next_logits(TOKENS[split:], cache, split)
    torch.testing.assert_close(logits.double(), reference(TOKENS)[-1], atol=1e-4, rtol=0)


def test_side_by_side_continuations_score_as_if_alone(engine, reference):
    """Branches see the trunk and themselves, never each other."""
    continuations = [(5, 6, 7), (8,), (9, 10, 11, 12, 13, 14, 15, 16, 17, 18)]
    cache = engine.new_cache()
    logits = engine.next_logits(TOKENS, cache, 0)
    found = continuation_distributions(engine, cache, logits, len(TOKENS), continuations)
    for continuation, distributions in zip(continuations, found, strict=True):
        rows = torch.log_softmax(reference(TOKENS + continuation), -1)[len(TOKENS) - 1 : -1]
        expected = [float(row[token]) for row, token in zip(rows, continuation, strict=True)]
        assert chosen(distributions, continuation) == pytest.approx(expected, abs=2e-4)


def test_sequences_that_share_a_pass_score_as_if_alone(engine, reference):
    """Each of its own length and its own cache, with and without something read before."""
    prompts = [(TOKENS, 0), (TOKENS[10:25], 6), (TOKENS[30:], 3)]
    continuations = [[(5, 6, 7), (8,)], [(9, 10, 11, 12)], [(13,), (14,)]]
    parts = []
    for tokens, before in prompts:
        cache = engine.new_cache()
        engine.read(tokens[:before], cache, 0)
        parts.append(Part(cache, tokens[before:], before))
    for (tokens, _), own, (logits, found) in zip(
        prompts, continuations, together(engine, parts, continuations), strict=True
    ):
        torch.testing.assert_close(logits.double(), reference(tokens)[-1], atol=1e-4, rtol=0)
        for continuation, distributions in zip(own, found, strict=True):
            rows = torch.log_softmax(reference(tokens + continuation), -1)[len(tokens) - 1 : -1]
            torch.testing.assert_close(distributions.double(), rows, atol=2e-4, rtol=0)


@pytest.mark.parametrize("per_head", [False, True])
def test_a_pruned_slot_is_as_good_as_masked(engine, family, per_head):
    """Dropping slots from the cache equals a full cache with those slots masked in every layer."""
    dropped = {3, 4, 11, 30, 31, 32}
    kept = torch.tensor([i for i in range(36) if i not in dropped])
    full, pruned = engine.new_cache(), engine.new_cache()
    engine.read(TOKENS[:36], full, 0)
    for layer in range(len(engine.card.layers)):
        keys, values = full.layer(layer)
        positions = kept.expand(engine.card.kv_heads, -1) if per_head else kept
        pruned.place(layer, keys[:, kept], values[:, kept], positions)
    logits = engine.next_logits(TOKENS[36:], pruned, 36)
    expected = _masked(family, TOKENS, dropped)
    torch.testing.assert_close(logits.double(), expected, atol=1e-4, rtol=0)


def _masked(folder, tokens, dropped):
    """float64 logits when the last four tokens see a full cache with some slots masked out."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    config = model.config
    size, first = len(tokens), 36
    position = torch.arange(size)
    distance = position[:, None] - position[None, :]
    hidden = torch.tensor([i in dropped for i in range(size)])
    masks = {}
    for kind in set(getattr(config, "layer_types", None) or ["full_attention"]):
        visible = distance >= 0
        if kind == "sliding_attention":
            visible &= distance < config.sliding_window
        visible = visible & ~(hidden[None, :] & (position[:, None] >= first))
        masks[kind] = torch.zeros(1, 1, size, size, dtype=torch.float64).masked_fill(~visible, -1e300)
    mask = masks if len(masks) > 1 else next(iter(masks.values()))
    with torch.inference_mode():
        return model(torch.tensor([list(tokens)]), attention_mask=mask, use_cache=False).logits[0, -1]


def test_a_listener_stops_a_pass_between_layers(engine):
    """What the listener raises ends the pass; later layers are not computed."""
    seen = []

    def listener(layer, keys, values):
        seen.append((layer, keys.shape, values.shape))
        if layer == 1:
            raise CancelledError("enough")

    with pytest.raises(CancelledError):
        engine.read(TOKENS, engine.new_cache(listener), 0)
    assert seen == [(layer, (2, 40, 16), (2, 40, 16)) for layer in (0, 1)]


def test_too_many_tokens_are_refused_with_both_numbers(engine):
    """The message tells how many came and how many are taken."""
    with pytest.raises(InputTooLongError, match=r"513 tokens.* takes 512"):
        engine.check_length(513, "the prompt")


def test_nothing_to_continue_from_is_refused(engine):
    """An empty sequence has no next token."""
    with pytest.raises(InvalidRequestError, match="empty"):
        engine.next_logits((), engine.new_cache(), 0)


def test_the_card_tells_windows_and_rope_of_every_layer(engine, family):
    """Gemma's sliding layers have a window and another RoPE; the other families have one of each."""
    layers = engine.card.layers
    if "gemma" in str(family):
        assert [layer.window_tokens for layer in layers] == [8, 8, 0, 8]
        assert len(engine.card.ropes) == 2
        assert layers[0].rope != layers[2].rope
    else:
        assert {(layer.window_tokens, layer.rope) for layer in layers} == {(0, 0)}
    assert all(len(rope.inv_freq) == 8 for rope in engine.card.ropes)
