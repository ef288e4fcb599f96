"""Errors in OpenAI's form. The one table of which error becomes what; docs/http.md has the same."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from http_service.unsupported import ParameterError
from kvwire.errors import (
    AuthenticationError,
    BindingError,
    CancelledError,
    DataLossError,
    DeadlineError,
    ForbiddenError,
    InvalidRequestError,
    KvwireError,
    NotFoundError,
    OverloadedError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
)


@dataclass(frozen=True)
class Failure:
    """An HTTP status, and ``type`` and ``code`` of OpenAI's error object."""

    status: int
    type: str
    code: str


#: Of errors not listed the nearest base counts. OpenAI's clients try 408, 409, 429 and all from 500 on again by
#: themselves, so what will not help to send again is none of these.
FAILURES: dict[type[Exception], Failure] = {
    InvalidRequestError: Failure(HTTPStatus.BAD_REQUEST, "invalid_request_error", "invalid_value"),
    UnsupportedError: Failure(HTTPStatus.BAD_REQUEST, "invalid_request_error", "unsupported"),
    BindingError: Failure(HTTPStatus.BAD_REQUEST, "invalid_request_error", "failed_precondition"),
    AuthenticationError: Failure(HTTPStatus.UNAUTHORIZED, "authentication_error", "invalid_api_key"),
    ForbiddenError: Failure(HTTPStatus.FORBIDDEN, "permission_error", "permission_denied"),
    NotFoundError: Failure(HTTPStatus.NOT_FOUND, "not_found_error", "not_found"),
    TooLargeError: Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "invalid_request_error", "request_too_large"),
    OverloadedError: Failure(HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_error", "rate_limit_exceeded"),
    CancelledError: Failure(499, "cancelled_error", "cancelled"),  # nginx's status for a caller who hung up
    DataLossError: Failure(HTTPStatus.BAD_GATEWAY, "server_error", "data_loss"),
    UnavailableError: Failure(HTTPStatus.SERVICE_UNAVAILABLE, "server_error", "unavailable"),
    DeadlineError: Failure(HTTPStatus.GATEWAY_TIMEOUT, "server_error", "deadline_exceeded"),
    Exception: Failure(HTTPStatus.INTERNAL_SERVER_ERROR, "server_error", "internal_error"),
}


def failure_of(error: Exception) -> Failure:
    """What an error becomes."""
    return next(FAILURES[kind] for kind in type(error).__mro__ if kind in FAILURES)


def error_object(error: Exception) -> dict[str, Any]:
    """The body of a refusal; an unexpected error's own words stay in the log."""
    failure = failure_of(error)
    known = isinstance(error, KvwireError)
    return {
        "error": {
            "message": str(error) if known else f"unexpected {type(error).__name__}; the service's log has the details",
            "type": failure.type,
            "param": error.param if isinstance(error, ParameterError) else None,
            "code": failure.code,
        }
    }
