"""Each error of kvwire has a place in OpenAI's form."""

import pytest

from http_service.failures import FAILURES, error_object, failure_of
from http_service.unsupported import ParameterError
from kvwire.errors import BY_STATUS, InputTooLongError, KvwireError, OverloadedError, StoreError

#: OpenAI's clients send again on their own.
AGAIN = {408, 409, 429}


@pytest.mark.parametrize("error", [kind for kind in BY_STATUS.values() if kind is not KvwireError])
def test_every_error_that_comes_over_grpc_has_a_row_of_its_own(error):
    """None falls through to the last one, but for this machine's own faults."""
    assert (error in FAILURES) == (error.status != "INTERNAL")


def test_only_what_may_help_is_sent_again():
    """By the statuses that OpenAI's clients try again."""
    again = {kind.__name__ for kind, row in FAILURES.items() if row.status in AGAIN or row.status >= 500}
    assert again == {"OverloadedError", "DataLossError", "UnavailableError", "DeadlineError", "Exception"}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InputTooLongError("x"), 400, "invalid_value"),
        (OverloadedError("x"), 429, "rate_limit_exceeded"),
        (StoreError("x"), 500, "internal_error"),
        (RuntimeError("x"), 500, "internal_error"),
    ],
)
def test_an_error_without_a_row_is_its_nearest_base_s(error, status, code):
    """Down to whatever nobody expected."""
    failure = failure_of(error)
    assert (failure.status, failure.code) == (status, code)


def test_a_refused_parameter_is_named():
    """As OpenAI names it."""
    error = {"message": "n: one", "type": "invalid_request_error", "param": "n", "code": "invalid_value"}
    assert error_object(ParameterError("n", "one")) == {"error": error}


def test_an_unexpected_error_s_own_words_are_kept():
    """They may quote a prompt."""
    assert "Bartholomew" not in str(error_object(ValueError("Bartholomew")))
