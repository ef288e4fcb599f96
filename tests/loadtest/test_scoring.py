"""Prompt forms, decision rules, margins and what a failed item is worth."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import DataLossError, LocalError, UnavailableError
from kvwire.report import ContinuationScore
from loadtest.datasets import Item
from loadtest.scoring import (
    ChoiceScore,
    choice_scores,
    context_text,
    continuations,
    decide,
    failed,
    letter_prompt,
    margin,
    question_prompt,
    read_letter,
    score_letter,
    score_likelihoods,
)

ITEM = Item("q1", "Which {one}?", ("red", "blue", "a pale green"), ("1", "2", "3"), 1, "It is blue.")


def received(index: int, *logprobs: float) -> ContinuationScore:
    return ContinuationScore(index, tuple(range(len(logprobs))), logprobs, characters=99)


def test_the_loglik_form_is_fact_question_and_spaced_choices():
    assert context_text(ITEM) == "Fact: It is blue.\n"
    assert question_prompt(ITEM) == "Question: Which {one}?\nAnswer:"
    assert continuations(ITEM) == (" red", " blue", " a pale green")


def test_an_item_without_a_context_has_no_context_text():
    assert context_text(Item("q", "Which?", ("a", "b"), ("A", "B"), 0)) is None


def test_scores_are_summed_in_the_order_of_the_choices():
    scores = choice_scores(ITEM, [received(2, -4.0, -2.0), received(0, -1.0), received(1, -0.5, -0.25)])
    assert scores == (ChoiceScore(-1.0, 1, 3), ChoiceScore(-0.75, 2, 4), ChoiceScore(-6.0, 2, 12))


@pytest.mark.parametrize("indices", [(0, 1), (0, 1, 1), (0, 1, 3), ()])
def test_a_missing_or_repeated_score_is_data_loss(indices):
    with pytest.raises(DataLossError, match="for 3 choices"):
        choice_scores(ITEM, [received(index, -1.0) for index in indices])


@pytest.mark.parametrize("logprobs", [(math.nan,), (-math.inf, -1.0), ()])
def test_a_score_that_is_no_number_is_an_error_and_never_a_decision(logprobs):
    with pytest.raises(LocalError, match="cannot be compared"):
        choice_scores(ITEM, [received(0, *logprobs), received(1, -1.0), received(2, -1.0)])


def test_each_rule_decides_by_its_own_unit():
    scores = (ChoiceScore(-3.0, 1, 4), ChoiceScore(-4.0, 4, 2), ChoiceScore(-6.0, 2, 60))
    decision = decide(scores)
    assert (decision.sum, decision.mean, decision.per_character) == (0, 1, 2)


def test_a_tie_goes_to_the_first_choice():
    assert decide((ChoiceScore(-2.0, 1, 1), ChoiceScore(-2.0, 1, 1))).mean == 0


SCORES = st.builds(ChoiceScore, st.floats(-1e4, 0), st.integers(1, 50), st.integers(1, 200))


@given(st.lists(SCORES, min_size=2, max_size=5), st.data())
def test_the_margin_is_positive_exactly_where_the_right_choice_wins_alone(scores, data):
    answer = data.draw(st.integers(0, len(scores) - 1))
    gap = margin(tuple(scores), answer)
    if gap > 0:
        assert decide(tuple(scores)).mean == answer
    if gap < 0:
        assert decide(tuple(scores)).mean != answer


def test_loglik_is_right_where_the_mean_per_token_picks_the_answer():
    scores = (ChoiceScore(-3.0, 1, 3), ChoiceScore(-4.0, 4, 4), ChoiceScore(-6.0, 2, 12))
    result = score_likelihoods(ITEM, scores)
    assert (result.id, result.decision, result.right, result.scores) == ("q1", 1, True, scores)


def test_the_letter_form_names_choices_by_position_and_offers_only_their_letters():
    prompt = letter_prompt(ITEM)
    assert "Which {one}?\n\nChoices:\nA. red\nB. blue\nC. a pale green\n\n\nInstructions:" in prompt
    assert '"The correct answer is A/B/C".' in prompt
    assert prompt.endswith("\n\nThe correct answer is")


@pytest.mark.parametrize(
    ("reply", "position"),
    [
        ("The correct answer is B", 1),
        ("the correct answer is: **C**.", 2),
        ("Answer: D\nA is wrong.", 3),
        ("B", 1),
        ("It could be A, but B.", 1),
        ("Answer: Copper", None),
        ("The answer is unknown.\nC", 2),
        ("E", None),
        ("", None),
    ],
)
def test_a_letter_is_read_from_a_reply(reply, position):
    assert read_letter(reply, choices=4) == position


@given(st.integers(2, 5), st.data())
def test_every_letter_offered_can_be_read_back(choices, data):
    position = data.draw(st.integers(0, choices - 1))
    assert read_letter(f"The correct answer is {'ABCDE'[position]}", choices) == position


def test_a_reply_without_a_letter_is_wrong_and_kept():
    result = score_letter(ITEM, "no idea")
    assert (result.decision, result.right, result.reply, result.error) == (None, False, "no idea", None)


def test_a_failed_item_is_wrong_and_says_why():
    result = failed(ITEM, UnavailableError("sharer went away"))
    assert (result.id, result.right, result.error) == ("q1", False, "UnavailableError: sharer went away")
