"""Exact match and F1 as SQuAD 1.1 defines them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.datasets import SpanItem
from loadtest.span_scoring import score_span, span_context, span_prompt

ITEM = SpanItem("q1", "Who won?", ("the Denver Broncos", "Denver"), "The Denver Broncos won.")


def test_the_question_comes_after_two_examples_of_short_answers():
    assert span_context(ITEM) == "Context: The Denver Broncos won.\n"
    prompt = span_prompt(ITEM)
    assert prompt.endswith("\nAnswer: 1945\nQuestion: Who won?\nAnswer:")
    assert prompt.count("Question:") == 3


@pytest.mark.parametrize(
    "reply", ["Denver Broncos", " the  denver broncos.", "A Denver-", "Denver\nQuestion: Who lost?"]
)
def test_case_articles_punctuation_and_later_lines_do_not_count(reply):
    result = score_span(ITEM, reply)
    assert (result.exact, result.f1) == (True, 1.0)


def test_f1_is_the_overlap_in_words_with_the_best_wording():
    """Four words of which two are shared with a wording of two: 2 * 2 / (4 + 2)."""
    result = score_span(ITEM, "Denver Broncos of Colorado")
    assert not result.exact
    assert result.f1 == pytest.approx(2 / 3)


def test_a_repeated_word_counts_only_as_often_as_it_is_wanted():
    assert score_span(ITEM, "Denver Denver Denver").f1 == pytest.approx(0.5)


@pytest.mark.parametrize("reply", ["", "\n", "the", "Carolina"])
def test_a_reply_without_a_shared_word_scores_nothing(reply):
    result = score_span(ITEM, reply)
    assert (result.exact, result.f1) == (False, 0.0)


@given(st.text(max_size=60))
def test_f1_stays_between_0_and_1_and_an_exact_match_has_1(reply):
    result = score_span(ITEM, reply)
    assert 0 <= result.f1 <= 1
    assert not result.exact or result.f1 == 1
