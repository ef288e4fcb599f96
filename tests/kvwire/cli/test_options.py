"""Who is asked by a command, and what is refused before."""

import pytest

from kvwire.cli.options import Addresses, services
from kvwire.errors import InvalidRequestError, SpecError
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


def test_fusers_for_services_that_run_are_refused():
    """They would not be heard of there."""
    with pytest.raises(InvalidRequestError, match="leave it out"), services("", "r:1", "", ["ridge=x"], "fp16"):
        pass


def test_a_codec_that_does_not_parse_starts_no_pair():
    """Nor is there a pair of such a model."""
    with pytest.raises(SpecError, match="unknown base"), services("none:none", "", "", None, "wrong"):
        pass
