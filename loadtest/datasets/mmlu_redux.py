"""MMLU-Redux: re-annotated MMLU questions of 57 subjects, 4 choices, no facts. Gema et al., arXiv 2406.04127.

Read from JSONL with the hub's columns and the subject, one row per question::

    {subject, question, choices: [...], answer: 0 to 3, error_type}

Only questions that the annotators found sound (``error_type`` is ``ok``; 5,330 of 5,700) are items; this is a choice of
questions, not a tolerance for broken rows. Subjects take turns, so a limit takes from all of them evenly.
"""

from collections import defaultdict
from itertools import chain, zip_longest
from typing import Any

from kvwire.errors import InvalidRequestError
from loadtest.datasets.item import Item
from loadtest.datasets.rows import read_rows
from loadtest.datasets.source import Query

_LABELS = ("A", "B", "C", "D")


def load_mmlu_redux(query: Query) -> list[Item]:
    """The sound questions, subject by subject in turn; an id is the subject and the question's number in it, from 0."""
    if query.open_book:
        raise InvalidRequestError("MMLU-Redux has no facts; leave out --open-book, or take openbookqa or pocket")
    if query.split != "test":
        raise InvalidRequestError(f"MMLU-Redux has only the split test, not {query.split}")
    path = query.find(local=("mmlu_redux/mmlu_redux_normalized.jsonl", "mmlu_redux.jsonl"), remote=None)
    subjects: defaultdict[str, list[Item | None]] = defaultdict(list)
    for row in read_rows(path):
        subject = row.fields.get("subject")
        if not isinstance(subject, str):
            raise InvalidRequestError(f"{row.where}: subject is missing")
        try:
            item = _item(f"{subject}-{len(subjects[subject])}", row.fields)
        except InvalidRequestError as defect:
            raise InvalidRequestError(f"{row.where}: {defect}") from defect
        subjects[subject].append(item)
    sound = [[item for item in items if item] for items in subjects.values()]
    items = [item for item in chain.from_iterable(zip_longest(*sound)) if item]
    if not items:
        raise InvalidRequestError(f"{path}: no question that the annotators found sound")
    return items


def _item(name: str, fields: dict[str, Any]) -> Item | None:
    """The item of a row, None for an unsound question."""
    match fields:
        case {"error_type": "ok", "question": str(question), "choices": [*choices], "answer": int(answer)}:
            if not all(isinstance(choice, str) for choice in choices):
                raise InvalidRequestError("a choice is no text")
            return Item(name, question, tuple(choices), _LABELS[: len(choices)], answer)
        case {"error_type": str(error_type)} if error_type != "ok":
            return None
        case _:
            raise InvalidRequestError("question, choices, answer (0 to 3) or error_type is missing or of another type")
