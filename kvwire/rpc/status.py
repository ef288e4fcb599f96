"""A gRPC status back into the error it was, and the status of whatever ended a request."""

import asyncio

import grpc

from kvwire.errors import BY_STATUS, CancelledError, KvwireError, LocalError, UnavailableError


def error_from_rpc(error: grpc.aio.AioRpcError, peer: str) -> KvwireError:
    """The error a peer answered with, its message kept; a peer that cannot be reached gets a remedy."""
    details = error.details() or "no details"
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(f"{peer} is not reachable or went away: {details}; check that it runs and retry")
    if error.code() is grpc.StatusCode.CANCELLED:  # and not by us: so gRPC ends calls that reach a server as it closes
        return UnavailableError(f"{peer} stopped before it took the call; retry, or ask another")
    return error_from_status(error.code().name, details, peer)


def error_from_status(status: str, details: str, peer: str) -> KvwireError:
    """The error of a status name, as a peer told it."""
    return BY_STATUS.get(status, LocalError)(f"{peer}: {details}")


def status_of(error: BaseException) -> tuple[str, str]:
    """The status name and the message of what ended a request; an unexpected error's own words stay in the log."""
    if isinstance(error, KvwireError):
        return error.status, str(error)
    if isinstance(error, asyncio.CancelledError | GeneratorExit):
        return CancelledError.status, "the caller hung up"
    return LocalError.status, f"unexpected {type(error).__name__}; the service's log has the details"
