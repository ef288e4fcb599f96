"""A sensitivity profile is measured by coding one part of a cache and nothing else."""

import pytest
import torch

from bench.profile_plot import plot
from calibration.profile import CODECS, SCORED_TOKENS, TOKENS, profile
from codec import registry
from codec.bases import Base
from codec.quantize.base import Context, Kind
from codec.scanner import Piece
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.compare import divergences
from kvwire.engine.engine import Engine, Part
from kvwire.errors import InvalidRequestError
from kvwire.models.load import load
from kvwire.models.store import ModelStore

TEXT = " ".join(f"{number} times {number} is {number * number}." for number in range(200))


@pytest.fixture(scope="module")
def engine(tiny_llama, tmp_path_factory):
    stored = ModelStore(tmp_path_factory.mktemp("store")).pull(f"path:{tiny_llama}")
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), max_tokens=1024)


def bases(*names):
    return [Base.parse(Piece.of(name)) for name in names]


@pytest.fixture(scope="module")
def measured(engine):
    return profile(engine, TEXT, bases("hadamard:bits=2", "int8", "fp32"), 1, lambda _: None)


def test_finer_codecs_move_predictions_less_and_exact_ones_not_at_all(measured):
    """In every layer, for keys and for values."""
    for halves in measured.divergences:
        for coarse, fine, exact in halves:
            assert coarse > fine > exact == pytest.approx(0, abs=1e-6)


def test_it_is_bound_to_the_model_and_says_what_was_measured(engine, measured):
    """The weights' fingerprint; a row for every layer."""
    assert measured.weights == engine.card.binding.weights_fingerprint
    assert (len(measured.divergences), measured.windows, measured.tokens) == (4, 1, TOKENS)


def moved_by(engine, change):
    """Nats per token that predictions move by if layer 2 has what ``change(keys, values)`` makes of it."""
    tokens = engine.prompts.plain(TEXT)[: TOKENS + SCORED_TOKENS]
    cache = engine.new_cache()
    engine.read(tokens[:TOKENS], cache, 0)
    logprobs = []
    for changed in (False, True):
        other = engine.new_cache()
        for layer in range(4):
            halves = cache.layer(layer)
            other.place(layer, *(change(*halves) if changed and layer == 2 else halves), torch.arange(TOKENS))
        part = Part(other, (), TOKENS, branches=(tokens[TOKENS:],))
        logprobs.append(engine.branch_logits([part])[0].log_softmax(-1))
    kl, _ = divergences(*logprobs)
    return sum(kl) / len(kl)


def at_two_bits(half, kind):
    coarse = registry.resolve("hadamard", {"bits": "2"})
    ctx = Context(2, kind, len(half), TOKENS, 16, torch.arange(TOKENS))
    return coarse.decode(coarse.encode(half, ctx), ctx)


def test_only_the_part_in_question_is_coded(engine, measured):
    """Layer 2's values at 2 bits, by hand."""
    moved = moved_by(engine, lambda keys, values: (keys, at_two_bits(values, Kind.VALUE)))
    assert measured.divergences[2][1][0] == pytest.approx(moved, rel=1e-3)


def test_a_head_is_coded_alone_by_the_first_codec(engine, measured):
    """Layer 2's keys, head 1, by hand; there is a number for each head of keys and of values."""
    assert [len(half) for half in measured.heads[2]] == [2, 2]
    assert len(measured.heads) == 4
    moved = moved_by(engine, lambda keys, values: (torch.cat([keys[:1], at_two_bits(keys[1:], Kind.KEY)]), values))
    assert measured.heads[2][0][1] == pytest.approx(moved, rel=1e-3)


def test_too_little_text_and_codecs_with_tables_are_refused(engine):
    """Before anything is read."""
    with pytest.raises(InvalidRequestError, match="are needed"):
        profile(engine, "short", bases("int8"), 1, lambda _: None)
    with pytest.raises(InvalidRequestError, match="omit codes nothing"):
        profile(engine, TEXT, bases("int8", "omit"), 1, lambda _: None)
    with pytest.raises(InvalidRequestError, match="rd allocates"):
        profile(engine, TEXT, bases("rd:step=128"), 1, lambda _: None)


def test_the_default_codecs_tell_their_bytes_beforehand():
    """Else no budget could be promised."""
    shape = Context(0, Kind.KEY, 2, 100, 64, torch.arange(100))
    for base in bases(*CODECS):
        layout = base.quantizer().layout(shape)
        assert not any(plane.optional or None in plane.dims for plane in layout)


def test_the_plot_shows_every_codec_for_keys_and_values(measured):
    """One standalone figure, each curve named at its end."""
    drawn = plot(measured)
    assert drawn.count("<svg") == 3
    for text in ("keys", "values", ">hadamard:bits=2<", ">int8<", "layer 3, int8"):
        assert text in drawn
