"""Turns rows of the public multiple-choice schemas into items.

Accepted, told apart by their keys (``context`` may stand in the place of ``fact1``)::

    ARC on the hub         {id, question, choices: {text: [...], label: [...]}, answerKey}
    OpenBookQA on the hub  {id, question_stem, choices: {text: [...], label: [...]}, answerKey, fact1}
    AI2's own files        {id, question: {stem, choices: [{text, label}, ...]}, answerKey, fact1}

Keys beyond these are ignored. A defect is an error that names file, line and what is wrong: no row is ever skipped.
"""

from collections.abc import Iterable
from typing import Any

from kvwire.errors import InvalidRequestError
from loadtest.datasets.item import Item
from loadtest.datasets.rows import Row


def read_items(rows: Iterable[Row], *, open_book: bool) -> list[Item]:
    """Items of all rows, in order; with ``open_book`` the fact is the context, without it there is none.

    Raises:
        InvalidRequestError: The first defective row, an id used twice, or no row at all.
    """
    places: dict[str, str] = {}
    items = []
    for row in rows:
        try:
            item = to_item(row.fields, open_book=open_book)
        except InvalidRequestError as defect:
            raise InvalidRequestError(f"{row.where}: {defect}") from defect
        if item.id in places:
            raise InvalidRequestError(f"{row.where}: id {item.id!r} was used before ({places[item.id]})")
        places[item.id] = row.where
        items.append(item)
    if not items:
        raise InvalidRequestError("the dataset file is empty; at least one row is needed")
    return items


def to_item(fields: dict[str, Any], *, open_book: bool) -> Item:
    """The item of one row.

    Raises:
        InvalidRequestError: What is wrong with the row, without its place.
    """
    stem, options = _question(fields)
    texts, labels = _options(options)
    key = _text(fields, "answerKey")
    if key not in labels:
        raise InvalidRequestError(f"answerKey {key!r} is not among the labels {', '.join(labels)}")
    return Item(
        id=_text(fields, "id"),
        question=stem,
        choices=texts,
        labels=labels,
        answer=labels.index(key),
        context=_fact(fields) if open_book else None,
    )


def _question(fields: dict[str, Any]) -> tuple[str, Any]:
    question = fields.get("question")
    if isinstance(question, dict):
        return _text(question, "stem"), question.get("choices")
    return _text(fields, "question_stem" if "question_stem" in fields else "question"), fields.get("choices")


def _options(options: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    match options:
        case {"text": [*texts], "label": [*labels]}:
            pass
        case [*pairs] if all(isinstance(pair, dict) for pair in pairs):
            texts, labels = [pair.get("text") for pair in pairs], [pair.get("label") for pair in pairs]
        case _:
            raise InvalidRequestError(f"choices are missing or in no known form: {str(options)[:80]}")
    if not all(isinstance(part, str) for part in (*texts, *labels)):
        raise InvalidRequestError(f"every choice needs a text and a label: {str(options)[:80]}")
    return tuple(texts), tuple(labels)


def _fact(fields: dict[str, Any]) -> str:
    if "fact1" in fields and "context" in fields:
        raise InvalidRequestError("both fact1 and context are given; which one is the fact?")
    return _text(fields, "context" if "context" in fields else "fact1")


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str):
        raise InvalidRequestError(f"{key} is missing" if value is None else f"{key} is no text: {str(value)[:80]}")
    return value
