"""The door of a service: who calls, whether they may, and whether they have not had enough."""

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kvwire.callers.caller import Caller, Size
from kvwire.callers.file import read_callers, sha256
from kvwire.callers.used import Used
from kvwire.errors import AuthenticationError, ForbiddenError
from kvwire.security import ServerSecurity

#: Name of the caller whose call the running task answers; empty where callers have none.
calling: ContextVar[str] = ContextVar("calling", default="")


@dataclass(frozen=True)
class Shown:
    """What a caller shows: the call's ``authorization``, and the names in its certificate, which TLS has checked."""

    authorization: str | None = None
    names: Sequence[str] = ()


class Door:
    """Lets callers in. Without callers everybody may enter, and is known by the certificate if there is one."""

    def __init__(
        self,
        callers: Sequence[Caller] = (),
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``clock`` times how often somebody calls, ``now`` tells when a token expires."""
        self._callers = tuple(callers)
        self._used = {caller.name: Used(caller, clock) for caller in callers}
        self._anybody = Used(Caller(), clock)
        self._now = now

    @classmethod
    def of(cls, security: ServerSecurity) -> "Door":
        """As a service's settings have it.

        Raises:
            StartError: The callers' file cannot be used.
        """
        return cls(read_callers(security.token_file) if security.token_file else ())

    @property
    def wants_token(self) -> bool:
        """Whether some callers are known by a token."""
        return any(caller.token_sha256 for caller in self._callers)

    def who(self, shown: Shown) -> Caller:
        """The caller who shows this.

        Raises:
            AuthenticationError: Nobody is known by it, or no longer. The message repeats nothing of what was shown.
        """
        if not self._callers:
            return _named_by_certificate(Caller(), shown.names)
        caller = self._by_certificate(shown.names) if shown.authorization is None else self._by_token(shown)
        if caller.expires is not None and self._now() >= caller.expires:
            raise AuthenticationError(
                f"the access of caller {caller.name} expired at {caller.expires.isoformat()}; ask for another token"
            )
        return caller

    def admitted(self, caller: Caller, call: str, size: Size) -> AbstractContextManager[None]:
        """Let a caller in for one call; use as a context manager.

        Raises:
            ForbiddenError: The caller may not make this call.
            OverloadedError: It would go beyond the caller's allowance.
        """
        if caller.calls is not None and call not in caller.calls:
            allowed = ", ".join(sorted(caller.calls)) or "none"
            raise ForbiddenError(f"caller {caller.name} may not call {call}; allowed: {allowed}")
        return self._used.get(caller.name, self._anybody).admitted(size)

    def _by_token(self, shown: Shown) -> Caller:
        scheme, _, token = (shown.authorization or "").partition(" ")
        sent = sha256(token)
        # All are compared, each in constant time, so that how long it takes tells nothing of any.
        found = [each for each in self._callers if hmac.compare_digest(each.token_sha256, sent)]
        if scheme.lower() != "bearer" or not found:
            raise AuthenticationError("the bearer token is of no caller whom this service knows")
        [caller] = found
        if caller.certificate and caller.certificate not in shown.names:
            raise AuthenticationError(f"the token of caller {caller.name} came without the certificate it belongs to")
        return caller if caller.name else _named_by_certificate(caller, shown.names)

    def _by_certificate(self, names: Sequence[str]) -> Caller:
        for caller in self._callers:
            if not caller.token_sha256 and caller.certificate in names:
                return caller
        if self.wants_token:
            raise AuthenticationError("this service wants a bearer token; send it as 'authorization: Bearer <token>'")
        raise AuthenticationError("this service knows its callers by certificate, and the one shown is nobody's")


def on_behalf_of(said: str) -> str:
    """Whose request it is, for all that is kept between requests: what a caller says, within who the caller is.

    So nobody reaches another's by saying their name. Callers without a name share what they say; others get a digest,
    64 characters as a caller's name may have, which tells a sharer no names.
    """
    name = calling.get()
    return hashlib.sha256(f"{name}\0{said}".encode()).hexdigest() if name else said


def _named_by_certificate(caller: Caller, names: Sequence[str]) -> Caller:
    return replace(caller, name=names[0]) if names else caller
