"""A gRPC status back into the error it was."""

import grpc

from kvwire.errors import BY_STATUS, KvwireError, LocalError, UnavailableError


def error_from_rpc(error: grpc.aio.AioRpcError, peer: str) -> KvwireError:
    """The error a peer answered with, its message kept; a peer that cannot be reached gets a remedy."""
    details = error.details() or "no details"
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return UnavailableError(f"{peer} is not reachable or went away: {details}; check that it runs and retry")
    return error_from_status(error.code().name, details, peer)


def error_from_status(status: str, details: str, peer: str) -> KvwireError:
    """The error of a status name, as a peer told it."""
    return BY_STATUS.get(status, LocalError)(f"{peer}: {details}")
