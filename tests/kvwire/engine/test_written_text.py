"""The text of an answer, piece by piece, is its text as a whole."""

import pytest
import torch

from kvwire.engine.decode import Greedy

TEXTS = [
    "Mia hid the key.",
    " a  b\n\n c ",
    "na\u00efve \u2603 \U0001f511 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u4f60\u597d",
]


def pieces(engine, tokens):
    writing, logits = Greedy(engine, len(tokens) + 1, frozenset()), torch.zeros(engine.card.vocabulary)
    return [writing.take(token, 0.0, logits).text for token in tokens]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_join_to_the_whole_text(engine, text):
    """Characters of several tokens come whole, with the last of them."""
    tokens = engine.prompts.plain(text)
    found = pieces(engine, tokens)
    assert "".join(found) == engine.prompts.text(tokens)
    assert not any("\ufffd" in piece for piece in found)


def test_special_tokens_add_nothing(engine):
    """And keep nothing of what follows back."""
    tokens = [*engine.prompts.plain("Mia"), 0, *engine.prompts.plain(" hid"), 0]
    assert "".join(pieces(engine, tokens)) == "Mia hid"


def test_only_the_latest_tokens_are_decoded(engine, monkeypatch):
    """Whatever the answer's length."""
    decoded, text = [], engine.prompts.text
    monkeypatch.setattr(engine.prompts, "text", lambda tokens: (decoded.append(len(tokens)), text(tokens))[1])
    pieces(engine, engine.prompts.plain("word and " * 60))
    assert len(decoded) > 100
    assert max(decoded) <= 4
