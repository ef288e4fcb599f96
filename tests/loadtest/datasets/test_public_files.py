"""The public files themselves load whole; skipped where no folder has them."""

import os
from pathlib import Path

import pytest

from loadtest.datasets import load, load_continuations, load_spans

DATA = Path(os.environ.get("KVWIRE_DATA") or Path(__file__).parents[4] / "shared" / "data")

pytestmark = pytest.mark.skipif(
    not (DATA / "openbookqa").is_dir(), reason=f"no public datasets in {DATA}; set KVWIRE_DATA to a folder with them"
)


@pytest.mark.parametrize(
    ("name", "split", "count"),
    [
        ("arc_challenge", "test", 1172),
        ("arc_challenge", "validation", 299),
        ("arc_easy", "test", 2376),
        ("openbookqa", "test", 500),
        ("openbookqa", "train", 4957),
        ("mmlu_redux", "test", 5330),
    ],
)
def test_every_row_of_a_public_split_is_an_item(name, split, count):
    assert len(load(name, data_dir=DATA, split=split)) == count


def test_arc_has_questions_of_3_and_5_choices_and_labels_other_than_letters():
    items = load("arc_challenge", data_dir=DATA)
    assert {len(item.choices) for item in items} == {3, 4, 5}
    assert ("1", "2", "3", "4") in {item.labels for item in items}


def test_openbookqa_has_a_fact_for_every_question():
    assert all(item.context for item in load("openbookqa", data_dir=DATA, open_book=True))


def test_every_question_of_xquad_is_an_item():
    assert len({item.id for item in load_spans("xquad_en", data_dir=DATA)}) == 1190


@pytest.mark.parametrize("characters", [400, 1200])
def test_every_article_of_wikitext2_is_an_item(characters):
    """The test split has 60."""
    assert len(load_continuations("wikitext2", data_dir=DATA, context_characters=characters)) == 60


def test_nine_in_ten_paragraphs_of_xquad_are_items_and_every_article_is_there():
    items = load_continuations("xquad_contexts", data_dir=DATA)
    assert (len(items), len({item.cluster for item in items})) == (216, 48)
