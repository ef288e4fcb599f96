"""Callers as values: who they are, what they may call and how much, and what a request of theirs takes of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

#: Calls that can be allowed one by one, by their names on the wire. Health is always open: a probe has no secret.
Call = Literal["Describe", "Generate", "Score", "ScoreTogether", "Share", "Relay", "Inspect", "ServerReflectionInfo"]


@dataclass(frozen=True)
class Size:
    """What a request takes of its caller's allowance: requests it counts as, bytes, tokens of its longest answer."""

    requests: int = 1
    nbytes: int = 0
    new_tokens: int = 0


@dataclass(frozen=True)
class Allowance:
    """What a caller may take; 0 is no limit. ``burst``: requests that may come at once, 0 for a second's worth."""

    max_request_bytes: int = 0
    max_new_tokens: int = 0
    max_in_flight: int = 0
    requests_per_second: float = 0.0
    burst: int = 0
    requests_per_day: int = 0


@dataclass(frozen=True)
class Caller:
    """One caller. Known by a token, of which only the SHA-256 is kept, by the name in a certificate, or by both.

    ``calls``: those it may make, None for all. The empty name is whoever holds the one token of a service that has only
    one, or anybody where none is asked for.
    """

    name: str = ""
    token_sha256: bytes = b""
    certificate: str = ""
    expires: datetime | None = None
    calls: frozenset[str] | None = None
    allowance: Allowance = field(default_factory=Allowance)
