"""An outage is not multiplied by those who try again."""

from kvwire.balancing.retry_budget import RetryBudget


def test_a_lasting_outage_is_tried_again_four_times_in_all():
    """Whatever the number of requests."""
    budget = RetryBudget()
    again = 0
    for _ in range(1000):
        budget.failed()
        again += budget.allows
    assert again == 4


def test_one_failure_in_eleven_is_always_tried_again():
    """Ten answers pay for it."""
    budget = RetryBudget()
    for _ in range(100):
        budget.failed()
        assert budget.allows
        for _ in range(10):
            budget.answered()


def test_answers_pay_a_tenth_each_and_no_more_than_the_bucket_holds():
    """A good year does not pay for a bad day."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.answered()
    for _ in range(5):
        budget.failed()
    assert not budget.allows
    budget.answered()
    assert budget.allows
