"""Paragraphs become texts to be continued; articles take turns and are clusters."""

import json

import pytest

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import load_continuations

BELLS = "Twelve bells hang in the old tower, and nobody rings them."
RAIN = "Rain fell on the harbour for nine days and nine nights that year."
SHORT = "Too little."


def article(title, *paragraphs):
    return {"title": title, "paragraphs": [{"context": text, "qas": []} for text in paragraphs]}


def load(tmp_path, *articles, **options):
    (tmp_path / "xquad.en.json").write_text(json.dumps({"data": articles}), encoding="utf-8")
    lengths = {"context_characters": 15, "continuation_characters": 10}
    return load_continuations("xquad_contexts", data_dir=tmp_path, **lengths | options)


def test_a_paragraph_is_cut_at_word_ends_and_a_short_one_gives_no_item(tmp_path):
    item, after = load(tmp_path, article("Bells", BELLS, SHORT, RAIN))
    assert (item.id, after.id) == ("Bells-0", "Bells-2")
    assert (item.context, item.prompt, item.continuation) == ("Twelve bells hang", " in", " the old tower,")


def test_articles_take_turns_so_that_a_limit_takes_from_all(tmp_path):
    items = load(tmp_path, article("A", BELLS, RAIN), article("B", RAIN, BELLS), limit=3)
    assert [(item.id, item.cluster) for item in items] == [("A-0", "A"), ("B-0", "B"), ("A-1", "A")]


@pytest.mark.parametrize(
    ("articles", "defect"),
    [
        ([article("A", BELLS), article("A", RAIN)], "article 1 has no title of its own"),
        ([{"paragraphs": []}], "article 0 has no title"),
        ([{"title": "A", "paragraphs": [{"qas": []}]}], "not in SQuAD's JSON form .*context"),
        ([article("A", SHORT)], "no paragraph has 25 characters; ask for less"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, articles, defect):
    with pytest.raises(InvalidRequestError, match=defect):
        load(tmp_path, *articles)


def test_another_split_and_the_hub_are_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="only the split test"):
        load(tmp_path, article("A", BELLS), split="train")
    with pytest.raises(NotFoundError, match="point --data"):
        load_continuations("xquad_contexts")
