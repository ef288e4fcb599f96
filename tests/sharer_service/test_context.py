"""A sharer reads a context by its own tokenizer, and by the receiver's if slots are to be that one's tokens."""

from itertools import accumulate
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import BindingError, InvalidRequestError
from kvwire.model_card import ModelBinding
from kvwire.requests import AlignmentRule, Method, RequestInfo, Text, TokenIds
from kvwire.stream import ShareRequest
from sharer_service.context import deltas, read_context

RECEIVER = ModelBinding("other", "1", b"w" * 32, b"o" * 32)


def asked(engine, context, *, alignment=AlignmentRule.CHARACTERS):
    return ShareRequest(
        RequestInfo("r"), Method.PREFIX, context, "fp32", engine.card.binding, RECEIVER, b"f" * 32, alignment=alignment
    )


class Letters:
    """A tokenizer that reads letter by letter."""

    def __call__(self, text, **_):
        offsets = [(index, index + 1) for index in range(len(text))]
        return SimpleNamespace(input_ids=[ord(letter) for letter in text], offset_mapping=offsets)


def test_every_letter_names_the_token_it_is_in(engine):
    """A receiver that reads letters gets a slot for each."""
    text = "the licence of this software"
    read = read_context(engine, {RECEIVER.tokenizer_fingerprint: Letters()}, asked(engine, Text(text)))
    sources = list(accumulate(read.deltas, initial=-1))[1:]
    assert read.slots == len(sources) == len(text)
    words = [engine.prompts.text([read.tokens[source]]) for source in sources]
    assert all(letter in word for letter, word in zip(text, words, strict=True))
    assert len(read.tokens) < read.slots


def test_a_receiver_with_an_unknown_tokenizer_is_refused(engine):
    """And told how to start the sharer."""
    with pytest.raises(BindingError, match="--tokenizers"):
        read_context(engine, {}, asked(engine, Text("words")))


@pytest.mark.parametrize("context", [TokenIds((4, 5)), Text("")])
def test_what_cannot_be_aligned_is_refused(engine, context):
    """Token ids are another model's; nothing has no slots."""
    with pytest.raises(InvalidRequestError):
        read_context(engine, {RECEIVER.tokenizer_fingerprint: Letters()}, asked(engine, context))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_steps_add_up_to_the_source_tokens(sources):
    """Or none are needed because slots are the tokens."""
    steps = deltas(sources, 31)
    assert (list(accumulate(steps, initial=-1))[1:] or list(range(31))) == sources
