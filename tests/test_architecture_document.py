"""docs/architecture.md names files, and what is in them; both exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`([\w./-]+(?:/|\.(?:py|proto)))`", TEXT)))
# A name that stands before "in `FILE`", or in the parenthesis of one: "(`name` in `FILE`)".
NAMED = sorted(set(re.findall(r"`([\w.]+)` in\s+`([\w./]+\.py)`", TEXT)))
# A stop that begins with its file names what is in that: "`FILE`: `name` does ...".
BEGUN = sorted(set(re.findall(r"`([\w./]+\.py)`: (?:the |an? )?`([\w.]+)`", TEXT)))


@pytest.mark.parametrize("path", [path for path in PATHS if path != "prefix.py"])
def test_a_named_place_exists(path):
    """A file or folder that moves takes the document with it."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("name", "path"), [*NAMED, *((name, path) for path, name in BEGUN)])
def test_what_is_said_to_be_in_a_file_is_there(name, path):
    """As a class, a function, a method or a value of the module."""
    own = name.rpartition(".")[2]
    assert re.search(rf"^\s*(?:async )?(?:def|class) {own}\b|^{own} = ", (ROOT / path).read_text(), re.MULTILINE)


def test_the_document_names_most_of_a_request_s_files():
    """The patterns above find what is there to be found."""
    assert len(PATHS) > 50
    assert len(NAMED) + len(BEGUN) > 12
