"""A stop text is seen where it is complete, however it was cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.engine.stop_texts import StopTexts

letters = st.text("ab", min_size=1, max_size=4)


@given(st.lists(st.text("ab", max_size=4), max_size=12), st.lists(letters, max_size=3))
def test_the_piece_that_completes_one_is_told(pieces, texts):
    """As a search in all that came so far would; nothing is asked once one was met."""
    stops, so_far = StopTexts(texts), ""
    for piece in pieces:
        so_far += piece
        met = any(text in so_far for text in texts)
        assert stops.completed_by(piece) == met
        if met:
            break


@pytest.mark.parametrize("piece", ["", "anything"])
def test_without_stop_texts_nothing_ends(piece):
    """The common case."""
    assert not StopTexts(()).completed_by(piece)
