"""Who is asked by a command."""

import pytest

from kvwire.cli.options import Addresses
from kvwire.errors import InvalidRequestError
from kvwire.requests import Method


@pytest.mark.parametrize("method", Method)
def test_the_receiver_answers_but_for_what_the_sharer_alone_does(method):
    """At the addresses that were given."""
    asked = Addresses(sharer="s:1", receiver="r:1").answering(method)
    assert asked == ("s:1" if method is Method.SHARER_ONLY else "r:1")


def test_a_sharer_that_is_to_answer_must_be_known():
    """The message says by which option."""
    with pytest.raises(InvalidRequestError, match="--sharer"):
        Addresses(sharer="", receiver="r:1").answering(Method.SHARER_ONLY)
