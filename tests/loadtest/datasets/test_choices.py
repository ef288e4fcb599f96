"""Rows of the public schemas become items; defective rows become errors that name the place."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import Item, load
from loadtest.datasets.choices import to_item

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.strip)


@st.composite
def questions(draw):
    """Texts, labels and the answer's position of a question with 2 to 5 choices."""
    labels = draw(st.lists(WORDS, min_size=2, max_size=5, unique=True))
    texts = draw(st.lists(WORDS, min_size=len(labels), max_size=len(labels)))
    return texts, labels, draw(st.integers(0, len(labels) - 1))


def hub_row(**changes):
    row = {
        "id": "q1",
        "question": "Which?",
        "choices": {"text": ["one", "two", "three"], "label": ["1", "2", "3"]},
        "answerKey": "2",
        "fact1": "Two is right.",
    }
    return {key: value for key, value in (row | changes).items() if value is not None}


def ai2_row(**changes):
    choices = [{"text": "one", "label": "A"}, {"text": "two", "label": "B"}]
    return {"id": "q1", "question": {"stem": "Which?", "choices": choices}, "answerKey": "B"} | changes


def written(tmp_path: Path, *rows) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return f"file:{path}"


@given(questions())
def test_an_answer_is_found_by_its_labels_position_whatever_the_labels_are(question):
    texts, labels, answer = question
    item = to_item(hub_row(choices={"text": texts, "label": labels}, answerKey=labels[answer]), open_book=False)
    assert (item.choices, item.labels, item.answer) == (tuple(texts), tuple(labels), answer)


@given(questions())
def test_both_public_schemas_give_the_same_item(question):
    texts, labels, answer = question
    hub = hub_row(choices={"text": texts, "label": labels}, answerKey=labels[answer])
    pairs = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    ai2 = ai2_row(question={"stem": "Which?", "choices": pairs}, answerKey=labels[answer])
    assert to_item(hub, open_book=False) == to_item(ai2, open_book=False)


def test_the_hubs_openbookqa_column_names_are_understood():
    row = hub_row(question=None, question_stem="Which?")
    assert to_item(row, open_book=True) == Item(
        "q1", "Which?", ("one", "two", "three"), ("1", "2", "3"), 1, "Two is right."
    )


def test_the_fact_is_the_context_only_when_the_book_is_open(tmp_path):
    name = written(tmp_path, hub_row())
    assert load(name, open_book=True)[0].context == "Two is right."
    assert load(name, open_book=False)[0].context is None


def test_context_may_stand_in_the_place_of_fact1(tmp_path):
    name = written(tmp_path, ai2_row(context="B it is."))
    assert load(name, open_book=True)[0].context == "B it is."


def test_a_limit_takes_the_first_items_in_file_order(tmp_path):
    name = written(tmp_path, *(hub_row(id=f"q{n}") for n in range(5)))
    assert [item.id for item in load(name, limit=3)] == ["q0", "q1", "q2"]
    assert len(load(name, limit=9)) == 5


@pytest.mark.parametrize(
    ("row", "defect"),
    [
        (hub_row(answerKey="4"), "answerKey '4' is not among the labels 1, 2, 3"),
        (hub_row(answerKey=None), "answerKey is missing"),
        (hub_row(answerKey=2), "answerKey is no text: 2"),
        (hub_row(id=None), "id is missing"),
        (hub_row(question="  "), "question is empty"),
        (hub_row(question=None), "question is missing"),
        (hub_row(choices=None), "choices are missing"),
        (hub_row(choices={"text": ["one"], "label": ["2"]}), "1 choices; a question has 2 to 5"),
        (hub_row(choices={"text": list("abcdef"), "label": list("123456")}), "6 choices; a question has 2 to 5"),
        (hub_row(choices={"text": ["one", "two"], "label": ["2", "2"]}), "a label occurs twice"),
        (hub_row(choices={"text": ["one", "two"], "label": ["2"]}), "1 labels for 2 choices"),
        (hub_row(choices={"text": ["one", ""], "label": ["1", "2"]}), "a choice is empty"),
        (hub_row(choices={"text": ["one", None], "label": ["1", "2"]}), "every choice needs a text and a label"),
        (ai2_row(question={"choices": []}), "stem is missing"),
        (hub_row(fact1=None), "fact1 is missing"),
        (hub_row(fact1=" "), "context is empty"),
        (hub_row(context="another"), "both fact1 and context are given"),
        (hub_row(id="q0"), "id 'q0' was used before"),
        ([1], "a JSON object is wanted, found list"),
    ],
)
def test_a_defective_row_is_refused_with_its_file_line_and_defect(tmp_path, row, defect):
    name = written(tmp_path, hub_row(id="q0"), row)
    with pytest.raises(InvalidRequestError) as caught:
        load(name, open_book=True, limit=1)
    assert str(caught.value).startswith(f"{tmp_path / 'rows.jsonl'}, line 2: ")
    assert defect in str(caught.value)


@pytest.mark.parametrize("line", [b"\n", b"{", b'{"id": "\xff"}\n', b"[" * 100_000])
def test_a_line_that_is_no_json_is_refused_with_its_number(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(hub_row()).encode() + b"\n" + line)
    with pytest.raises(InvalidRequestError, match="line 2: not a line of JSON"):
        load(f"file:{path}")


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="is empty"):
        load(written(tmp_path))


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"gone\.jsonl is no file"):
        load(f"file:{tmp_path}/gone.jsonl")
