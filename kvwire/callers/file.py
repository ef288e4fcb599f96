"""Reads the file of callers: one bare token, or, in a file named ``*.toml``, a table for each caller."""

import hashlib
import tomllib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from kvwire.callers.caller import Allowance, Call, Caller
from kvwire.errors import StartError
from kvwire.security import read_file, read_token

# Fits the identity of a request; no quotes or spaces, so that a log's line can be taken apart.
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,64}$")]
_Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Table(BaseModel):
    """A caller as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    token_sha256: _Sha256 | None = None
    token: Annotated[str, StringConstraints(min_length=1)] | None = None
    certificate: str = ""
    expires: datetime | None = None
    calls: list[Call] | None = None
    max_request_bytes: int = Field(0, ge=0)
    max_new_tokens: int = Field(0, ge=0)
    max_in_flight: int = Field(0, ge=0)
    requests_per_second: float = Field(0.0, ge=0, allow_inf_nan=False)
    burst: int = Field(0, ge=0)
    requests_per_day: int = Field(0, ge=0)

    def caller(self, name: str) -> Caller:
        """As a value.

        Raises:
            StartError: Neither a token nor a certificate, or both forms of a token.
        """
        if self.token is not None and self.token_sha256 is not None:
            raise StartError(f"caller {name} has a token and a token_sha256; keep the latter")
        digest = bytes.fromhex(self.token_sha256 or "") or (sha256(self.token) if self.token else b"")
        if not digest and not self.certificate:
            raise StartError(f"caller {name} has neither a token_sha256 nor a certificate; it could never be known")
        limits = {each: getattr(self, each) for each in Allowance.__dataclass_fields__}
        calls = None if self.calls is None else frozenset[str](self.calls)
        return Caller(name, digest, self.certificate, _in_utc(self.expires), calls, Allowance(**limits))


_TABLES = TypeAdapter(dict[_Name, _Table])


def read_callers(path: Path) -> tuple[Caller, ...]:
    """The callers of a file; a bare token is one caller without a name, who may do everything.

    Raises:
        StartError: The file cannot be read, or says something that cannot be meant. No token is in the message.
    """
    if path.suffix != ".toml":
        return (Caller(token_sha256=sha256(read_token(path))),)
    try:
        tables = _TABLES.validate_python(tomllib.loads(read_file(path).decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):  # whose words could quote the file
        raise StartError(f"the callers' file {path} is not TOML; write a table [NAME] for each caller") from None
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise StartError(f"the callers' file {path} cannot be used: {wrong}") from None
    callers = tuple(table.caller(name) for name, table in tables.items())
    if not callers:
        raise StartError(f"the callers' file {path} names nobody, so nobody could call; write a table [NAME] for each")
    _told_apart(callers)
    return callers


def sha256(token: str) -> bytes:
    """What is kept of a token. It needs no salt: a token is random, unlike a password."""
    return hashlib.sha256(token.encode()).digest()


def _told_apart(callers: Sequence[Caller]) -> None:
    """Refuse two callers who show the same."""
    shown: dict[bytes | str, str] = {}
    for caller in callers:
        key = caller.token_sha256 or caller.certificate
        if key in shown:
            raise StartError(
                f"callers {shown[key]} and {caller.name} show the same token or certificate; give each its own"
            )
        shown[key] = caller.name


def _in_utc(when: datetime | None) -> datetime | None:
    """A time without a zone is in UTC."""
    return when.replace(tzinfo=UTC) if when is not None and when.tzinfo is None else when
