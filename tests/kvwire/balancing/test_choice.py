"""Questions on one context go to one address, unless it has too much to do; others are spread."""

import math
from collections import Counter
from dataclasses import dataclass

from kvwire.balancing.choice import CHOICES, Balance, affinity, affinity_key, least_busy
from kvwire.requests import ChatMessage, Messages, Text, TokenIds


@dataclass
class Address:
    address: str
    in_flight: int = 0


def addresses(count):
    return [Address(f"10.0.0.{number}:50051") for number in range(count)]


KEYS = [affinity_key("mia", Text(f"context {number}"), Text("Where?")) for number in range(2000)]


def test_questions_of_one_caller_on_one_context_have_one_key():
    """Whatever is asked; other contexts, and other callers', for whom nothing is kept there, have others."""
    context = Text("The key is under the pot.")
    key = affinity_key("mia", context, Text("Where is the key?"))
    assert affinity_key("mia", context, Text("Where is the pot?")) == key
    assert affinity_key("tom", context, Text("Where is the key?")) != key
    assert affinity_key("mia", Text("The key is lost."), Text("Where is the key?")) != key


def test_without_a_context_the_prompt_is_the_key():
    """It is all there is to read."""
    prompts = [Text("a"), Text("b"), TokenIds((1, 2)), Messages((ChatMessage("user", "a"),))]
    assert len({affinity_key("mia", None, prompt) for prompt in prompts}) == 4


def test_contexts_are_spread_evenly():
    """Over five addresses each gets a fifth, within what chance does (4 deviations)."""
    found = Counter(affinity(addresses(5), key).address for key in KEYS)
    assert all(abs(count - 400) < 4 * math.sqrt(2000 * 0.2 * 0.8) for count in found.values())
    assert len(found) == 5


def test_if_an_address_goes_only_its_contexts_move():
    """What the others hold stays of use; when it comes back, so do its contexts."""
    five, four = addresses(5), addresses(5)[:4]
    gone = five[4].address
    moved = [key for key in KEYS if affinity(five, key).address != affinity(four, key).address]
    assert moved == [key for key in KEYS if affinity(five, key).address == gone]


def test_the_order_of_addresses_does_not_matter():
    """Clients that know them in another order go to the same ones."""
    turned = list(reversed(addresses(5)))
    assert [affinity(addresses(5), key).address for key in KEYS] == [affinity(turned, key).address for key in KEYS]


def test_of_a_context_that_all_ask_for_no_address_gets_more_than_a_quarter_over_the_mean():
    """The next in the context's own order takes what is too much."""
    four = addresses(4)
    for _ in range(100):
        affinity(four, KEYS[0]).in_flight += 1
    assert max(each.in_flight for each in four) == math.ceil(1.25 * 100 / 4)


def test_who_asks_one_question_at_a_time_always_finds_the_context():
    """One call in flight is never too much."""
    two = addresses(2)
    home = affinity(two, KEYS[0])
    home.in_flight = 1
    assert affinity(two, KEYS[0]) is home


def test_the_least_busy_has_the_fewest_calls():
    """Whatever is asked."""
    three = [Address("a:1", 2), Address("b:1", 1), Address("c:1", 3)]
    assert {least_busy(three, key).address for key in KEYS} == {"b:1"}


def test_of_equally_busy_ones_each_has_its_share():
    """Callers that know nothing of each other do not all go to the first."""
    found = Counter(least_busy(addresses(5), key).address for key in KEYS)
    assert all(abs(count - 400) < 4 * math.sqrt(2000 * 0.2 * 0.8) for count in found.values())


def test_round_robin_takes_turns_and_each_set_of_addresses_has_its_own():
    """Whatever is asked."""
    three, choice = addresses(3), CHOICES[Balance.ROUND_ROBIN]()
    assert [choice(three, KEYS[0]) for _ in range(6)] == three + three
    assert CHOICES[Balance.ROUND_ROBIN]()(three, KEYS[0]) is three[0]
