"""Documents of the bench: prefix and scored tokens from the test split."""

import pytest

from bench.documents import SCORED_TOKENS, documents
from kvwire.errors import InvalidRequestError


class Words:
    """A tokenizer whose tokens are words, by length."""

    def bos(self):
        return (1,)

    def plain(self, text):
        return tuple(map(len, text.split()))


def article(title, words):
    return f" = {title} = \n " + "word " * words + "\n"


@pytest.fixture
def data(tmp_path):
    """Two long articles around a short one."""
    folder = tmp_path / "wikitext2"
    folder.mkdir()
    text = article("One", 400) + article("Two", 20) + article("Three", 400)
    (folder / "wikitext-2-raw_test.txt").write_text(text)
    return tmp_path


def test_a_document_is_a_prefix_with_bos_and_what_follows_it(data):
    """Articles that are too short are passed over."""
    first, second = documents(2, 16, Words(), data)
    assert (len(first.prefix), len(first.scored)) == (16, SCORED_TOKENS)
    assert first.prefix[0] == 1
    assert (first.id, second.id) == ("0-One", "2-Three")


def test_more_documents_than_there_are_is_an_error_that_says_so(data):
    """With the number there is."""
    with pytest.raises(InvalidRequestError, match="has 2 articles of 111 tokens, not 3"):
        documents(3, 16, Words(), data)
