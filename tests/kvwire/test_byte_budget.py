"""The latest values within a memory budget."""

from kvwire.byte_budget import ByteBudget


def test_the_value_used_longest_ago_makes_room():
    """The budget holds two; using one saves it."""
    kept = ByteBudget[str, bytes](8, len)
    kept.put("a", b"1111")
    kept.put("b", b"2222")
    kept.get("a")
    kept.put("c", b"3333")
    assert [kept.get(key) for key in "abc"] == [b"1111", None, b"3333"]


def test_a_value_put_again_takes_the_place_of_the_first():
    """It counts once: the budget of two still has room for another."""
    kept = ByteBudget[str, bytes](8, len)
    for key, value in (("a", b"1111"), ("b", b"2222"), ("b", b"3333")):
        kept.put(key, value)
    assert [kept.get(key) for key in "ab"] == [b"1111", b"3333"]


def test_a_value_larger_than_the_budget_is_not_kept_and_pushes_nothing_out():
    """Nor is anything by a budget of 0."""
    kept = ByteBudget[str, bytes](8, len)
    kept.put("a", b"1111")
    kept.put("b", b"222222222")
    assert (kept.get("a"), kept.get("b")) == (b"1111", None)
    none = ByteBudget[str, bytes](0, len)
    none.put("a", b"1")
    assert none.get("a") is None
