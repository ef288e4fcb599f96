"""What each rule makes of a text, to be shown."""

import pytest
from transformers import AutoTokenizer

from fuser.alignments import RULES
from kvwire.errors import InvalidRequestError

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


def test_in_a_chat_the_templates_tokens_stand_alone(tokenizers):
    """Another template moves the content and changes nothing else."""
    receiver, sharer = tokenizers
    sharer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    rows = RULES["chat"](receiver, sharer, TEXT)
    assert rows[0].receiver_text == "<turn>"
    assert {row.sharer_text for row in rows if row.sharer_index is None} == {""}
    content = [row for row in rows if row.sharer_index is not None]
    assert content[0].sharer_index == 0
    assert "".join(row.receiver_text for row in content) == "".join(row.sharer_text for row in content) == TEXT


@pytest.mark.parametrize("side", [0, 1], ids=["receiver", "sharer"])
def test_a_model_without_a_chat_template_has_no_chats(tokenizers, side):
    """As base models have none."""
    tokenizers[side].chat_template = None
    with pytest.raises(InvalidRequestError, match="no chat template"):
        RULES["chat"](*tokenizers, TEXT)
