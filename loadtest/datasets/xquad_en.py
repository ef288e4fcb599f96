"""XQuAD, English part: 1,190 questions on 240 paragraphs of Wikipedia. Artetxe et al., arXiv 1910.11856.

The paragraph is the context, so only the sharer need read it. Accepted: SQuAD's nested JSON, and the hub's flat rows
``{id, context, question, answers: {text: [...]}}``.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvwire.errors import InvalidRequestError
from loadtest.datasets.item import SpanItem
from loadtest.datasets.rows import Row, read_rows
from loadtest.datasets.source import HubFile, Query


def load_xquad_en(query: Query) -> list[SpanItem]:
    """All questions, in file order: paragraph by paragraph."""
    if query.split != "test":
        raise InvalidRequestError(f"XQuAD has only the split test, not {query.split}")
    path = query.find(
        local=("xquad_en/xquad.en.json", "xquad.en.json"),
        remote=HubFile(
            "google/xquad",
            "51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
            "xquad.en/validation-00000-of-00001.parquet",
        ),
    )
    items = [_item(row) for row in (_nested(path) if path.suffix == ".json" else read_rows(path))]
    if not items:
        raise InvalidRequestError(f"{path}: no questions")
    return items


def _nested(path: Path) -> Iterator[Row]:
    """SQuAD's articles, paragraphs and questions as flat rows."""
    try:
        articles = json.loads(path.read_bytes())["data"]
        for article in articles:
            for paragraph in article["paragraphs"]:
                for asked in paragraph["qas"]:
                    texts = [answer["text"] for answer in asked["answers"]]
                    fields = {**asked, "context": paragraph["context"], "answers": {"text": texts}}
                    yield Row(f"{path}, question {asked['id']}", fields)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path}: not in SQuAD's JSON form ({type(error).__name__}: {error})") from error


def _item(row: Row) -> SpanItem:
    fields: dict[str, Any] = row.fields
    match fields:
        case {"id": str(name), "question": str(question), "context": str(context), "answers": {"text": [*answers]}}:
            if not all(isinstance(answer, str) and answer in context for answer in answers):
                raise InvalidRequestError(f"{row.where}: an answer does not stand in the context: {answers}")
            try:
                return SpanItem(name, question, tuple(answers), context)
            except InvalidRequestError as defect:
                raise InvalidRequestError(f"{row.where}: {defect}") from defect
        case _:
            raise InvalidRequestError(f"{row.where}: id, question, context or answers is missing or no text")
