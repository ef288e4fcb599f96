r"""How a reading question becomes a request, and how a written answer is compared with the wordings that count.

The reply is generated greedily and its first line is the answer. Exact match and F1 are those of SQuAD 1.1
(Rajpurkar et al., arXiv 1606.05250): lower case, no punctuation, no articles, single spaces; F1 over words; the best of
the accepted wordings counts. The forms::

    context   "Context: {context}\n"
    prompt    two fixed examples of question and short answer, then "Question: {question}\nAnswer:"

The examples are always the same and tell nothing about the context. Without them a small model answers in sentences:
of 40 questions SmolLM2-135M matches none exactly, with them 10 (F1 0.34), and 1 without the context (F1 0.08).
"""

import re
import string
from collections import Counter
from dataclasses import dataclass

from loadtest.datasets import SpanItem

SPAN_MAX_NEW_TOKENS = 24  # half of XQuAD's answers have at most 2 words, 20 of 1,190 more than 12

_EXAMPLES = (
    "Question: Which planet is the largest?\nAnswer: Jupiter\n"
    "Question: When did the Second World War end?\nAnswer: 1945\n"
)
_NOT_COUNTED = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


@dataclass(frozen=True, slots=True)
class SpanResult:
    """How near an answer comes to a wording that counts: word for word, and by ``f1`` from 0 to 1."""

    exact: bool
    f1: float


def span_context(item: SpanItem) -> str:
    """What the sharer is told."""
    return f"Context: {item.context}\n"


def span_prompt(item: SpanItem) -> str:
    """What the receiver is asked."""
    return f"{_EXAMPLES}Question: {item.question}\nAnswer:"


def score_span(item: SpanItem, reply: str) -> SpanResult:
    """The result of a reply: its first line against the best of the item's answers."""
    answer = _words(reply.strip().partition("\n")[0])
    accepted = [_words(each) for each in item.answers]
    return SpanResult(answer in accepted, max(_f1(answer, each) for each in accepted))


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_NOT_COUNTED)).split()


def _f1(answer: list[str], accepted: list[str]) -> float:
    if not answer or not accepted:
        return float(answer == accepted)
    common = (Counter(answer) & Counter(accepted)).total()
    return 2 * common / (len(answer) + len(accepted))
