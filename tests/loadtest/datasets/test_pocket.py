"""The shipped questions are balanced, so that nothing but their facts gives the answers away."""

import re
from collections import Counter

import pytest

from loadtest.datasets import load


@pytest.fixture(scope="module")
def items():
    return load("pocket")


def test_there_are_sixty_items_of_four_choices(items):
    assert len(items) == 60
    assert {item.labels for item in items} == {("A", "B", "C", "D")}


def test_right_answers_are_spread_evenly_over_the_positions(items):
    assert Counter(item.answer for item in items) == {0: 15, 1: 15, 2: 15, 3: 15}


def test_facts_have_15_to_60_words_and_differ_in_length(items):
    words = [len(item.context.split()) for item in items]
    assert min(words) >= 15
    assert max(words) <= 60
    assert max(words) - min(words) >= 30


def test_choices_of_an_item_are_alike_in_length(items):
    for item in items:
        lengths = [len(choice) for choice in item.choices]
        assert max(lengths) - min(lengths) <= 8, item.id


@pytest.mark.parametrize("extreme", [min, max])
def test_the_right_choice_is_no_more_often_the_shortest_or_longest_than_by_chance(items, extreme):
    """Chance is 15 of 60, standard deviation 3.4."""
    alone = 0
    for item in items:
        lengths = [len(choice) for choice in item.choices]
        alone += lengths[item.answer] == extreme(lengths) and lengths.count(extreme(lengths)) == 1
    assert alone <= 20


def test_no_two_items_share_a_question_a_fact_or_a_set_of_choices(items):
    for field in ("question", "context"):
        assert len({getattr(item, field) for item in items}) == 60
    assert len({frozenset(item.choices) for item in items}) == 60
    assert all(len(set(item.choices)) == 4 for item in items)


def test_no_two_facts_are_near_duplicates(items):
    def words(text):
        return set(re.findall(r"[a-z]{4,}", text.lower()))

    facts = [words(item.context) for item in items]
    for index, fact in enumerate(facts):
        assert all(len(fact & other) / len(fact | other) < 0.3 for other in facts[:index]), items[index].id
