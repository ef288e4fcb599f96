"""Which sharer layer a receiver layer takes."""

from fuser.mapping import k_nearest, last_aligned


def test_last_layers_stand_side_by_side():
    """A deeper sharer's first layers are left out; a shallower one's first layer is taken several times."""
    assert last_aligned(3, 5) == (2, 3, 4)
    assert last_aligned(6, 4) == (0, 0, 0, 1, 2, 3)


def test_the_nearest_relative_depth_is_taken():
    """As the official code's own example; ties fall as its float64 rounding does."""
    assert k_nearest(4, 8) == (0, 2, 5, 7)
    assert k_nearest(3, 4) == (0, 2, 3)
    assert k_nearest(1, 1) == (0,)
