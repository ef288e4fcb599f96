"""Sound questions of MMLU-Redux become items, subjects in turn; broken rows are refused."""

import json

import pytest

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import load


def row(subject="logic", **changes):
    return {
        "subject": subject,
        "question": "Which?",
        "choices": ["one", "two", "three", "four"],
        "answer": 2,
        "error_type": "ok",
    } | changes


def folder(tmp_path, *rows):
    (tmp_path / "mmlu_redux.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def test_subjects_take_turns_and_unsound_questions_are_left_out(tmp_path):
    data = folder(
        tmp_path, row(), row(error_type="wrong_groundtruth"), row(), row("anatomy"), row("anatomy"), row("anatomy")
    )
    names = [item.id for item in load("mmlu_redux", data_dir=data)]
    assert names == ["logic-0", "anatomy-0", "logic-2", "anatomy-1", "anatomy-2"]


def test_the_answer_is_the_rows_position(tmp_path):
    assert load("mmlu_redux", data_dir=folder(tmp_path, row(answer=3)))[0].answer == 3


@pytest.mark.parametrize(
    ("bad", "defect"),
    [
        (row(answer=4), "answer 4 is no position among 4 choices"),
        (row(answer="2"), "of another type"),
        (row(choices=["one", None, "three", "four"]), "a choice is no text"),
        (row(question=""), "question is empty"),
        (row(error_type=None), "of another type"),
        (row(subject=None), "subject is missing"),
    ],
)
def test_a_broken_row_is_refused_with_its_line(tmp_path, bad, defect):
    with pytest.raises(InvalidRequestError, match=f"line 2: .*{defect}"):
        load("mmlu_redux", data_dir=folder(tmp_path, row(), bad))


def test_a_file_without_a_sound_question_is_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match=r"mmlu_redux\.jsonl: no question that the annotators found sound"):
        load("mmlu_redux", data_dir=folder(tmp_path, row(error_type="no_correct_answer")))


def test_without_a_folder_it_is_said_that_one_is_needed():
    with pytest.raises(NotFoundError, match="--data or KVWIRE_DATA at a folder with mmlu_redux/"):
        load("mmlu_redux")


@pytest.mark.parametrize("options", [{"open_book": True}, {"split": "train"}])
def test_facts_and_other_splits_are_refused(tmp_path, options):
    with pytest.raises(InvalidRequestError, match="MMLU-Redux has"):
        load("mmlu_redux", data_dir=folder(tmp_path, row()), **options)
