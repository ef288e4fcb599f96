"""What of a question is asked in one call, and what an arm's sharer is told."""

from dataclasses import replace

import pytest

from experiments.arms import Arm
from experiments.questions.base import Shown
from experiments.questions.spans import SpanQuestion
from experiments.turn import Turn
from kvwire.requests import Method
from loadtest.datasets import SpanItem

CACHE, FAR, TEXT = Method.PREFIX, Method.SHARER_ONLY, Method.TEXT
QUESTION = SpanQuestion(SpanItem("i", "Who?", ("Mia",), "Mia sings."))


def turn(*methods: Method) -> Turn:
    arms = tuple(Arm(str(place), method) for place, method in enumerate(methods))
    return Turn("d", QUESTION, arms, "Another.", "r", 0, compares=True, timed=False, together=3, relay_max_tokens=1)


@pytest.mark.parametrize(
    ("methods", "calls"),
    [
        ((CACHE,), [[0]]),
        ((CACHE,) * 6, [[0], [1, 2, 3], [4, 5]]),
        ((CACHE, CACHE, FAR, CACHE, CACHE), [[0], [1], [2], [3, 4]]),
        ((CACHE, FAR, FAR, FAR, FAR, CACHE), [[0], [1, 2, 3], [4], [5]]),
    ],
)
def test_what_the_sharer_answers_shares_no_call_with_the_receivers(methods, calls):
    """The reference has a call of its own, no other more than three arms; all are in the order of their lines."""
    found = list(turn(*methods).groups())
    assert [[int(arm.name) for arm in arms] for _, arms in found] == calls
    assert [start for start, _ in found] == [call[0] for call in calls]


def test_a_sharer_that_writes_is_told_what_its_arm_shows_it():
    """Whatever else reads a context reads that alone; a control that of another item."""
    asked = turn(CACHE)
    arm = Arm("a", TEXT, shown=Shown.QUESTION)
    assert asked.told(arm) == f"{QUESTION.context}Question: Who?\n"
    assert asked.told(replace(arm, method=CACHE)) == QUESTION.context
    assert asked.told(Arm("a", CACHE, wrong_context=True)) == "Another."
