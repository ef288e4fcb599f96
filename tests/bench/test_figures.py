"""The documentation's figures and the results that they are made of."""

import pytest

from bench.figures import DOCS, LOCAL, NOT_FROM_FILES, OWN, drawn

PICTURES = {path.name for path in (DOCS / "figures").iterdir() if path.suffix in {".svg", ".png"}}


def test_of_every_figure_it_is_known_what_makes_it():
    """From committed results, or by a measurement that is named."""
    assert {*OWN, *LOCAL, *NOT_FROM_FILES} == PICTURES


@pytest.mark.slow
def test_figures_are_drawn_again_from_committed_results():
    """To the last digit: who changes how figures look, or their numbers, commits them anew."""
    changed = [name for name, text in drawn().items() if (DOCS / "figures" / name).read_text() != text]
    assert not changed, f"run python -m bench.figures; changed: {changed}"
