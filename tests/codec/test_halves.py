"""Keys and values side by side: when it is worth a thread, and what comes of errors."""

import threading

import pytest

from codec.halves import both, side_by_side


@pytest.mark.parametrize(
    ("numbers", "threads", "worth"), [(1 << 15, 2, True), ((1 << 15) - 1, 2, False), (1 << 15, 1, False)]
)
def test_a_thread_is_worth_its_cost_from_so_many_numbers_on(set_threads, numbers, threads, worth):
    """And only where the caller may use another one."""
    set_threads(threads)
    assert side_by_side(numbers) is worth


def test_values_are_worked_on_while_keys_are():
    """Each waits for the other to have begun."""
    met = threading.Barrier(2, timeout=10)
    assert both(lambda: (met.wait(), "keys")[1], lambda: (met.wait(), "values")[1]) == ("keys", "values")


@pytest.mark.parametrize(("keys", "values", "raised"), [("k", None, "k"), (None, "v", "v"), ("k", "v", "k")])
def test_an_error_of_either_half_is_raised_and_of_two_the_keys_own(keys, values, raised):
    """Nothing is lost on the other thread."""

    def half(error):
        if error is not None:
            raise ValueError(error)

    with pytest.raises(ValueError, match=f"^{raised}$"):
        both(lambda: half(keys), lambda: half(values))
