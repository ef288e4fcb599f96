"""Datasets are found by name, in the folder given or else on the hub."""

import json
from pathlib import Path

import pytest

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import load
from loadtest.datasets.source import HubFile

ROW = {
    "id": "q1",
    "question": "Which?",
    "choices": {"text": ["one", "two"], "label": ["A", "B"]},
    "answerKey": "B",
    "fact1": "Two is right.",
}


def no_hub(_file: HubFile) -> Path:
    pytest.fail("the hub was asked although a folder was given")


def put(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(ROW) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "split", "file"),
    [
        ("arc_challenge", "test", "arc/ARC-Challenge-test.jsonl"),
        ("arc_challenge", "validation", "ARC-Challenge/ARC-Challenge-Dev.jsonl"),
        ("arc_easy", "train", "arc/ARC-Easy-train.jsonl"),
        ("openbookqa", "test", "openbookqa/test_complete.jsonl"),
        ("openbookqa", "validation", "Data/Additional/dev_complete.jsonl"),
    ],
)
def test_a_split_is_found_in_either_folder_layout(tmp_path, name, split, file):
    put(tmp_path, file)
    assert [item.id for item in load(name, data_dir=tmp_path, split=split, fetch=no_hub)] == ["q1"]


def test_a_folder_without_the_file_says_what_was_looked_for_and_how_to_set_it(tmp_path):
    with pytest.raises(NotFoundError) as caught:
        load("openbookqa", data_dir=tmp_path, fetch=no_hub)
    for part in (str(tmp_path), "openbookqa/test_complete.jsonl", "--data", "KVWIRE_DATA"):
        assert part in str(caught.value)


def test_without_a_folder_the_pinned_file_is_fetched_from_the_hub(tmp_path):
    put(tmp_path, "fetched.jsonl")
    asked = []

    def fetch(file: HubFile) -> Path:
        asked.append(file)
        return tmp_path / "fetched.jsonl"

    assert load("openbookqa", open_book=True, fetch=fetch)[0].context == "Two is right."
    assert [(file.repo, file.path) for file in asked] == [
        ("allenai/openbookqa", "additional/test-00000-of-00001.parquet")
    ]
    assert len(asked[0].revision) == 40


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(NotFoundError, match="arc_challenge, arc_easy, mmlu_redux, openbookqa, pocket and file:PATH"):
        load("arc")


@pytest.mark.parametrize(
    ("name", "options", "defect"),
    [
        ("arc_easy", {"open_book": True}, "has no facts"),
        ("arc_easy", {"split": "dev"}, "no split 'dev'"),
        ("pocket", {"split": "train"}, "only the split test"),
        ("file:x.jsonl", {"split": "train"}, "a file has no splits"),
        ("pocket", {"limit": 0}, "limit 0 leaves no items"),
        ("pocket", {"limit": -1}, "limit -1 leaves no items"),
    ],
)
def test_a_wish_that_a_dataset_cannot_grant_is_refused(name, options, defect):
    with pytest.raises(InvalidRequestError, match=defect):
        load(name, fetch=no_hub, **options)
