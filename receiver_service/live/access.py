"""Who may ask from the live page: whoever may ask over gRPC, and no page of another origin on their behalf."""

import ipaddress
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from kvwire.callers.caller import Caller
from kvwire.callers.door import Door, Shown
from kvwire.config import ReceiverSettings
from kvwire.errors import AuthenticationError, InvalidRequestError, KvwireError, UnsupportedError
from kvwire.security import is_loopback

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_PORT = re.compile(r":[0-9]+$")

Refusal = tuple[HTTPStatus, KvwireError]


@dataclass(frozen=True)
class Access:
    """``closed`` says why nobody may ask here, and is empty if some may; ``door`` is the one of the gRPC port."""

    closed: str
    door: Door

    @classmethod
    def of(cls, settings: ReceiverSettings, door: Door) -> "Access":
        """As a receiver's settings have it."""
        return cls(_closed(settings), door)

    @property
    def wants_token(self) -> bool:
        """Whether who asks must show a token."""
        return self.door.wants_token

    def entry(self, environ: "WSGIEnvironment") -> Refusal | Caller:
        """Who asks, or why their request is turned away before it is read."""
        if self.closed:
            return HTTPStatus.FORBIDDEN, UnsupportedError(self.closed)
        foreign = _foreign(environ, named=self.wants_token)
        if foreign:
            return HTTPStatus.FORBIDDEN, InvalidRequestError(foreign)
        if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, InvalidRequestError("send the question as application/json")
        try:
            return self.door.who(Shown(environ.get("HTTP_AUTHORIZATION")))
        except AuthenticationError as error:
            return HTTPStatus.UNAUTHORIZED, error


def _closed(settings: ReceiverSettings) -> str:
    """This port is plain HTTP: it must not be wider open than the gRPC port, nor carry what that one encrypts."""
    beyond = not is_loopback(settings.metrics_listen)
    if not settings.ask_box:
        return "the box is turned off; start the receiver without --no-ask-box, or ask over gRPC"
    if settings.tls_client_ca is not None:
        return "this receiver asks for certificates (mutual TLS), which cannot be shown here; ask over gRPC"
    if settings.tls_cert is not None and beyond:
        return "this port is not encrypted and the gRPC port is; put --metrics-listen on loopback, or ask over gRPC"
    if is_loopback(settings.listen) and beyond and settings.token_file is None:
        return "this port is reached from other machines and the gRPC port is not; set a --token-file, or ask over gRPC"
    return ""


def _foreign(environ: "WSGIEnvironment", *, named: bool) -> str:
    """What tells that another site's page asks; empty for the page itself and for programs, which send no origin.

    A name in place of an address may have been pointed here by another site; it is taken only where a token is asked
    for (``named``), which that site does not know.
    """
    site, origin, host = (environ.get(f"HTTP_{name}", "") for name in ("SEC_FETCH_SITE", "ORIGIN", "HOST"))
    if site not in {"", "same-origin", "none"} or (origin and origin.partition("://")[2] != host):
        return f"a page of another origin ({origin or site}) may not ask here"
    if not named and not _is_address(host):
        return f"without a token, questions are taken at an address or at localhost, not at the name {host!r}"
    return ""


def _is_address(host: str) -> bool:
    name = _PORT.sub("", host)
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return name == "localhost"
    return True
