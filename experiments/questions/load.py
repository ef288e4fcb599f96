"""Loads a recipe's datasets as questions, before anything is started."""

from collections.abc import Sequence
from pathlib import Path

from experiments.arms import arms_of
from experiments.questions.base import Question
from experiments.questions.choices import ChoiceQuestion
from experiments.questions.continuations import ContinuationQuestion
from experiments.questions.letters import LetterQuestion
from experiments.questions.spans import SpanQuestion
from experiments.recipe import NamedRecipe
from experiments.sets import ChoiceSet, ContinuationSet, Dataset
from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.requests import Method
from loadtest.datasets import load, load_continuations, load_spans


def load_questions(named: NamedRecipe, data_dir: Path | None, limit: int | None) -> tuple[tuple[Question, ...], ...]:
    """The questions of each dataset, in file order; ``limit`` lowers every dataset's own.

    Raises:
        InvalidRequestError: A dataset that is missing or defective, that has no text only the sharer reads, or too few
            items for the control; by file and line of the recipe.
    """
    found = []
    for index, dataset in enumerate(named.recipe.datasets):
        place = ("datasets", index, "name")
        try:
            questions = _load(dataset, data_dir, _least(dataset.limit, limit))
        except (NotFoundError, InvalidRequestError) as defect:
            raise named.source.refuse(place, str(defect)) from defect
        if named.recipe.method is Method.PREFIX and any(question.context is None for question in questions):
            hint = "set open_book, or " if isinstance(dataset, ChoiceSet) else ""
            raise named.source.refuse(
                place, f"{dataset.name} has nothing that only the sharer reads; {hint}take method fuse"
            )
        for arm in arms_of(named.recipe, "none"):
            if arm.method is Method.TEXT and not all(arm.shown in question.told for question in questions):
                raise named.source.refuse(
                    ("baselines",),
                    f"{arm.name}: {dataset.called} has items without {arm.shown} to tell the sharer; leave it out",
                )
        if dataset.wrong_context != "none" and not all(other_context(questions, i) for i in range(len(questions))):
            raise named.source.refuse(
                ("datasets", index, "wrong_context"),
                "an item has no other of another context and document; the control needs another one",
            )
        found.append(questions)
    return tuple(found)


def other_context(questions: Sequence[Question], index: int) -> str | None:
    """The context of the item before that has another one and is of another document; the last comes before the first.

    Not of the item after: its context must still be new to the sharer when its own turn comes, or its first request
    would not show what reading takes.
    """
    own = questions[index]
    before = (questions[index - step] for step in range(1, len(questions)))
    others = (other for other in before if other.context != own.context and other.cluster != own.cluster)
    return next((other.context for other in others), None)


def _load(dataset: Dataset, data_dir: Path | None, limit: int | None) -> tuple[Question, ...]:
    match dataset:
        case ChoiceSet():
            items = load(dataset.name, data_dir=data_dir, split=dataset.split, open_book=dataset.open_book, limit=limit)
            return tuple((LetterQuestion if dataset.scoring == "letter" else ChoiceQuestion)(item) for item in items)
        case ContinuationSet():
            texts = load_continuations(
                dataset.name,
                data_dir=data_dir,
                split=dataset.split,
                limit=limit,
                context_characters=dataset.context_characters,
                continuation_characters=dataset.continuation_characters,
            )
            return tuple(ContinuationQuestion(text) for text in texts)
        case _:
            spans = load_spans(dataset.name, data_dir=data_dir, split=dataset.split, limit=limit)
            return tuple(SpanQuestion(span) for span in spans)


def _least(own: int | None, asked: int | None) -> int | None:
    return min((number for number in (own, asked) if number is not None), default=None)
