"""What each rule makes of a text, to be shown."""

import pytest
from transformers import AutoTokenizer

from fuser.alignments import RULES

TEXT = "What does the Contributor grant?"


@pytest.fixture
def tokenizers(tiny_llama):
    """One vocabulary on both sides."""
    return [AutoTokenizer.from_pretrained(tiny_llama) for _ in range(2)]


@pytest.mark.parametrize("rule", ["characters", "first", "longest"])
def test_every_receiver_token_has_a_row(tokenizers, rule):
    """With itself, where both read the same tokens."""
    rows = RULES[rule](*tokenizers, TEXT)
    assert "".join(row.receiver_text for row in rows) == TEXT
    assert [row.sharer_id for row in rows] == [row.receiver_id for row in rows]
    assert [row.sharer_index for row in rows] == [at if rule == "characters" else None for at in range(len(rows))]
