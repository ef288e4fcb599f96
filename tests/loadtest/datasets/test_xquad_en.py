"""Reading questions keep their paragraph as context; a defect is named."""

import json

import pytest

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import SpanItem, load_spans


def squad(*questions, context="Twelve bells hang there."):
    return {"data": [{"title": "Bells", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def asked(name="q1", question="How many?", answer="Twelve"):
    return {"id": name, "question": question, "answers": [{"text": answer, "answer_start": 0}]}


def folder(tmp_path, content):
    (tmp_path / "xquad.en.json").write_text(json.dumps(content), encoding="utf-8")
    return tmp_path


def test_a_question_has_its_paragraph_as_context(tmp_path):
    items = load_spans("xquad_en", data_dir=folder(tmp_path, squad(asked(), asked("q2"), asked("q3"))), limit=2)
    assert items[0] == SpanItem("q1", "How many?", ("Twelve",), "Twelve bells hang there.")
    assert [item.id for item in items] == ["q1", "q2"]


def test_the_hubs_flat_rows_are_understood(tmp_path):
    path = tmp_path / "rows.jsonl"
    flat = {"id": "q1", "question": "How many?", "context": "Twelve bells.", "answers": {"text": ["Twelve"]}}
    path.write_text(json.dumps(flat) + "\n", encoding="utf-8")
    assert load_spans("xquad_en", fetch=lambda _file: path) == [
        SpanItem("q1", "How many?", ("Twelve",), "Twelve bells.")
    ]


@pytest.mark.parametrize(
    ("content", "defect"),
    [
        (squad(asked(answer="Ten")), "question q1: an answer does not stand in the context"),
        (squad(asked(question=" ")), "question q1: question is empty"),
        (squad({**asked(), "answers": []}), "question q1: an answer is empty or none is given"),
        (squad({"id": "q1"}), "not in SQuAD's JSON form"),
        ([], "not in SQuAD's JSON form"),
        ({"data": []}, "no questions"),
        (squad(asked(question=7)), "question q1: id, question, context or answers is missing or no text"),
    ],
)
def test_a_broken_file_is_refused(tmp_path, content, defect):
    with pytest.raises(InvalidRequestError, match=defect):
        load_spans("xquad_en", data_dir=folder(tmp_path, content))


def test_an_unknown_name_and_an_unknown_split_are_refused(tmp_path):
    with pytest.raises(NotFoundError, match="no reading dataset 'squad'; there is xquad_en"):
        load_spans("squad")
    with pytest.raises(InvalidRequestError, match="only the split test"):
        load_spans("xquad_en", data_dir=tmp_path, split="train")
