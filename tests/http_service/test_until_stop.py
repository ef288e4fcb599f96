"""Text is shown as soon as it is certain to stand before every stop text."""

from hypothesis import given
from hypothesis import strategies as st

from http_service.until_stop import UntilStop

pieces = st.lists(st.text("ab", max_size=4), max_size=12)
stops = st.lists(st.text("ab", min_size=1, max_size=4), max_size=3)


def before_first(text, stops):
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]


@given(pieces, stops)
def test_what_is_shown_ends_where_the_first_stop_text_begins(pieces, stops):
    """However the text is cut; nothing comes after it."""
    shown, seen, so_far = UntilStop(stops), "", ""
    for piece in pieces:
        if not shown.met:
            so_far += piece
        seen += shown.take(piece)
    seen += shown.rest()
    assert seen == before_first(so_far, stops)
    assert shown.met == any(stop in "".join(pieces) for stop in stops)


@given(pieces, stops)
def test_nothing_is_held_back_longer_than_it_must_be(pieces, stops):
    """What is held begins a stop text."""
    shown, seen, so_far = UntilStop(stops), "", ""
    for piece in pieces:
        so_far += piece
        seen += shown.take(piece)
        if shown.met:
            break
        held = so_far[len(seen) :]
        assert not held or any(stop.startswith(held) for stop in stops)
