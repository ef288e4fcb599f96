"""Contexts of several lengths before one and the same end, and the text that fusers are made from."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import load_continuations, training_text
from loadtest.datasets.cut import Cut
from loadtest.datasets.wikitext2_ends import _item

TEXT = (
    " = First = \n \n The bells of the old tower ring at noon , and nobody knows why they do . \n"
    " = Second = \n Rain fell . \n"
)


def load(tmp_path, context, continuation=5):
    (tmp_path / "wikitext2").mkdir(exist_ok=True)
    (tmp_path / "wikitext2" / "wikitext-2-raw_test.txt").write_text(TEXT, encoding="utf-8")
    return load_continuations(
        "wikitext2_ends", data_dir=tmp_path, context_characters=context, continuation_characters=continuation
    )


def test_the_end_is_the_same_whatever_the_length_of_the_context(tmp_path):
    """Only the context grows, backwards."""
    short, long = (load(tmp_path, context)[0] for context in (10, 40))
    assert (short.prompt, short.continuation) == (long.prompt, long.continuation) == (" they", " do .")
    assert long.context.endswith(short.context)
    assert len(" " + short.context) >= 10
    assert len(short.context) < 25
    assert len(long.context) >= 40
    assert short.cluster == short.id == "0-First"


def test_an_article_that_is_too_short_goes_on_in_the_one_before(tmp_path):
    """Which ends right before its title."""
    _, second = load(tmp_path, 30)
    assert "knows why they do . \n = Second =" in second.context
    assert second.cluster == "1-Second"


def test_more_text_than_there_is_is_refused(tmp_path):
    """With how much was asked for."""
    with pytest.raises(InvalidRequestError, match="no article ends behind 905 characters"):
        load(tmp_path, 900)


@given(st.text("ab \n", min_size=1, max_size=80), st.integers(1, 30), st.integers(1, 30))
def test_the_parts_joined_are_the_end_of_the_text(text, context, continuation):
    """Character for character, but for the space before the first word; or there is none."""
    item = _item("x", text.rstrip(), Cut(context, continuation))
    if item is not None:
        assert text.rstrip().endswith(item.context + item.prompt + item.continuation)
        assert len(item.prompt.split()) == 1
        assert len(item.continuation) >= continuation


@pytest.mark.parametrize("packed", [False, True])
def test_the_training_text_is_the_train_split_without_blank_lines(tmp_path, packed):
    """Whole, or its first rows packed."""
    (tmp_path / "wikitext2").mkdir()
    name = "wikitext-2-raw_train_first5k_rows.txt.gz" if packed else "wikitext-2-raw_train.txt"
    data = TEXT.encode()
    (tmp_path / "wikitext2" / name).write_bytes(gzip.compress(data) if packed else data)
    assert training_text(tmp_path) == TEXT.replace(" \n \n", " \n")


def test_a_folder_without_a_training_text_is_told(tmp_path):
    """With what it should hold."""
    with pytest.raises(NotFoundError, match=r"wiki\.train\.raw"):
        training_text(tmp_path)
