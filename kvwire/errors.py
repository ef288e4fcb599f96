"""Every error kvwire raises on purpose, and the gRPC status each becomes.

::

    KvwireError
    ├── InvalidRequestError      INVALID_ARGUMENT     the request itself is wrong; sending it again will not help
    │   ├── SpecError                                 a codec spec that does not parse or names an unknown codec
    │   └── InputTooLongError                         more tokens than the model or the configured limit takes
    ├── NotFoundError            NOT_FOUND            a model, sharer or dataset by a name nobody knows
    ├── BindingError             FAILED_PRECONDITION  two sides disagree on model, tokenizer, fuser or version
    ├── DataLossError            DATA_LOSS            bytes arrived that are not the bytes that were sent
    │   └── SpoiledError                              nobody can tell which of them: nothing may be used
    ├── UnavailableError         UNAVAILABLE          the other side cannot be reached, or went away half-way
    ├── DeadlineError            DEADLINE_EXCEEDED    the caller's time was up
    │   └── StalledError                              and the other side had said nothing for a while
    ├── OverloadedError          RESOURCE_EXHAUSTED   a limit on size, concurrency or rate was reached
    │   ├── TooLargeError                             on size: waiting will not help
    │   └── FullError                                 of memory or time on this very side: nobody else's fault
    ├── AuthenticationError      UNAUTHENTICATED      no token, or one that nobody has or that has expired
    ├── ForbiddenError           PERMISSION_DENIED    a caller who is known, and may not make this call
    ├── UnsupportedError         UNIMPLEMENTED        this service knows the request but does not offer it
    ├── CancelledError           CANCELLED            the caller hung up; compute was stopped
    └── LocalError               INTERNAL             this machine is at fault: never the request's doing
        ├── StoreError                                the model store cannot fetch, verify or write
        └── StartError                                a service or process could not start

A message says what was wrong, with the values, and what to do about it.
"""

from typing import ClassVar


class KvwireError(Exception):
    """Base of the tree; ``status`` names the gRPC status code it becomes on the wire."""

    status: ClassVar[str] = "INTERNAL"


class InvalidRequestError(KvwireError):
    """The request itself is wrong; sending it again will not help."""

    status = "INVALID_ARGUMENT"


class SpecError(InvalidRequestError):
    """A codec spec that does not parse, or names a codec or option nobody offers."""


class InputTooLongError(InvalidRequestError):
    """More tokens than the model or the configured limit takes."""


class NotFoundError(KvwireError):
    """A model, sharer or dataset by a name nobody knows."""

    status = "NOT_FOUND"


class BindingError(KvwireError):
    """Two sides disagree on model, tokenizer, fuser or protocol version."""

    status = "FAILED_PRECONDITION"


class DataLossError(KvwireError):
    """Bytes arrived that are not the bytes that were sent."""

    status = "DATA_LOSS"


class SpoiledError(DataLossError):
    """A whole arrived that is not what was sent, and nobody can tell which part of it."""


class UnavailableError(KvwireError):
    """The other side cannot be reached, or went away half-way."""

    status = "UNAVAILABLE"


class DeadlineError(KvwireError):
    """The caller's time was up."""

    status = "DEADLINE_EXCEEDED"


class StalledError(DeadlineError):
    """The time was up, and the other side had said nothing for a while."""


class OverloadedError(KvwireError):
    """A limit on size, concurrency or rate was reached."""

    status = "RESOURCE_EXHAUSTED"


class TooLargeError(OverloadedError):
    """More than this side ever takes; waiting will not help."""


class FullError(OverloadedError):
    """This side has not the memory, or not the time, for one more; whoever else was asked is not at fault.

    It arrives at the other side as an :class:`OverloadedError`.
    """


class AuthenticationError(KvwireError):
    """No token came with the call, or one that nobody has or that has expired."""

    status = "UNAUTHENTICATED"


class ForbiddenError(KvwireError):
    """The caller is known, and may not make this call."""

    status = "PERMISSION_DENIED"


class UnsupportedError(KvwireError):
    """This service knows the request but does not offer it."""

    status = "UNIMPLEMENTED"


class CancelledError(KvwireError):
    """The caller hung up; compute was stopped."""

    status = "CANCELLED"


class LocalError(KvwireError):
    """This machine is at fault, never the request."""


class StoreError(LocalError):
    """The model store cannot fetch, verify or write."""


class StartError(LocalError):
    """A service or process could not start."""


def _leaves(root: type[KvwireError]) -> list[type[KvwireError]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _leaves(child))]


#: gRPC status name -> the most general error that carries it; how a client rebuilds an error from a status.
BY_STATUS: dict[str, type[KvwireError]] = {}
for _error in _leaves(KvwireError):
    BY_STATUS.setdefault(_error.status, _error)
