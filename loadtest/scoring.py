r"""How a multiple-choice item becomes a request, and how the answer becomes right or wrong.

Two ways of scoring:

``loglik``
    The choices are continuations of the prompt; the one with the highest log-likelihood per token wins. The parts are
    tokenized apart and joined, and nothing but these forms is ever sent::

        context        "Fact: {fact}\n"
        prompt         "Question: {question}\nAnswer:"
        continuation   " {choice}"

``letter``
    As the official C2C evaluation (thu-nics/C2C at 04b1d50, ``rosetta/utils/evaluate.py``): one user turn with the
    question and lettered choices, a greedy reply of at most 64 tokens, and the letter read out of it.

A choice is always named by its position, never by the file's label. A tie goes to the first choice. An item that fails
is a wrong answer with its error, never an absent one.
"""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kvwire.errors import DataLossError, LocalError
from kvwire.report import ContinuationScore
from loadtest.datasets import Item

LETTERS = "ABCDE"
LETTER_MAX_NEW_TOKENS = 64  # the official recipe's generation_config

_LETTER_PROMPT = """Accurately answer the following question:

{question}

Choices:
{choices}

Instructions:
- Carefully read the question and all options.
- Select the single most correct answer.
- Respond ONLY in the following format: "The correct answer is {letters}".
- Do not include any explanations, additional text, or punctuation besides the answer.

The correct answer is"""


@dataclass(frozen=True, slots=True)
class ChoiceScore:
    """Log-likelihood (natural log) of one choice, over all its tokens; ``characters`` is the choice's own length.

    Raises:
        LocalError: A number no model should give; the item then counts as failed.
    """

    sum_logprob: float
    tokens: int
    characters: int

    def __post_init__(self) -> None:
        if not math.isfinite(self.sum_logprob) or self.tokens < 1 or self.characters < 1:
            raise LocalError(
                f"log-likelihood {self.sum_logprob} over {self.tokens} tokens and {self.characters} characters cannot "
                "be compared; the model or the codec gave numbers that are not finite"
            )

    @property
    def mean(self) -> float:
        """Per token."""
        return self.sum_logprob / self.tokens

    @property
    def per_character(self) -> float:
        """Per character of the choice's text."""
        return self.sum_logprob / self.characters


@dataclass(frozen=True, slots=True)
class Decision:
    """The winning choice's position under each rule; ``mean`` is the one that counts."""

    mean: int
    sum: int
    per_character: int


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item.

    ``decision`` is the position chosen, None where the item failed or no letter could be read. ``scores`` holds one
    entry per choice under ``loglik``, ``reply`` the generated text under ``letter``; ``error`` says why it failed.
    """

    id: str
    answer: int
    decision: int | None = None
    scores: tuple[ChoiceScore, ...] = ()
    reply: str | None = None
    error: str | None = None

    @property
    def right(self) -> bool:
        """Whether the item counts as right."""
        return self.error is None and self.decision == self.answer


def context_text(item: Item) -> str | None:
    """What the sharer is told; None for an item without a context."""
    return None if item.context is None else f"Fact: {item.context}\n"


def question_prompt(item: Item) -> str:
    """The prompt of ``loglik``."""
    return f"Question: {item.question}\nAnswer:"


def continuations(item: Item) -> tuple[str, ...]:
    """The continuations of ``loglik``, one per choice, in order."""
    return tuple(f" {choice}" for choice in item.choices)


def lettered_choices(item: Item) -> str:
    """A line for each choice; letters are given by position, up to E."""
    return "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, item.choices, strict=False))


def letter_prompt(item: Item) -> str:
    """The user turn of ``letter``."""
    letters = "/".join(LETTERS[: len(item.choices)])
    return _LETTER_PROMPT.format(question=item.question, choices=lettered_choices(item), letters=letters)


def read_letter(reply: str, choices: int) -> int | None:
    """Position of the choice that a reply names, None if it names none.

    A capital letter counts where it stands alone: the first one after "answer is" or "answer:", or else the last one
    anywhere. (The official parser also takes letters inside words; "Answer: Copper" is no C here.)
    """
    letter = rf"\b[{LETTERS[:choices]}]\b"
    stated = re.search(rf"(?i:answer(?:\s+is|\s*:))[^\n]*?({letter})", reply)
    if stated:
        return LETTERS.index(stated[1])
    anywhere = re.findall(letter, reply)
    return LETTERS.index(anywhere[-1]) if anywhere else None


def choice_scores(item: Item, received: Iterable[ContinuationScore]) -> tuple[ChoiceScore, ...]:
    """Scores in the order of the item's choices, from what a service sent in any order.

    Raises:
        DataLossError: A choice's score is missing or came twice.
        LocalError: A score is not finite.
    """
    by_index = sorted(received, key=lambda score: score.index)
    if [score.index for score in by_index] != list(range(len(item.choices))):
        raise DataLossError(
            f"scores of choices {[score.index for score in by_index]} came for {len(item.choices)} choices; "
            "the reply was cut or mixed up, retry the call"
        )
    return tuple(
        ChoiceScore(math.fsum(score.token_logprobs), len(score.token_logprobs), len(choice))
        for score, choice in zip(by_index, item.choices, strict=True)
    )


def decide(scores: tuple[ChoiceScore, ...]) -> Decision:
    """The winning position under each rule."""

    def best(rule: Callable[[ChoiceScore], float]) -> int:
        return max(range(len(scores)), key=lambda position: rule(scores[position]))

    return Decision(
        mean=best(lambda score: score.mean),
        sum=best(lambda score: score.sum_logprob),
        per_character=best(lambda score: score.per_character),
    )


def margin(scores: tuple[ChoiceScore, ...], answer: int) -> float:
    """Mean log-likelihood per token of the right choice minus that of the best wrong one; above 0 where it wins."""
    return scores[answer].mean - max(score.mean for position, score in enumerate(scores) if position != answer)


def score_likelihoods(item: Item, scores: tuple[ChoiceScore, ...]) -> ItemResult:
    """The result under ``loglik``."""
    return ItemResult(id=item.id, answer=item.answer, decision=decide(scores).mean, scores=scores)


def score_letter(item: Item, reply: str) -> ItemResult:
    """The result under ``letter``."""
    return ItemResult(id=item.id, answer=item.answer, decision=read_letter(reply, len(item.choices)), reply=reply)


def failed(item: Item, error: Exception) -> ItemResult:
    """The result of an item that could not be run: wrong, and listed with its error."""
    return ItemResult(id=item.id, answer=item.answer, error=f"{type(error).__name__}: {error}")
