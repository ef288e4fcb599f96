"""Model arguments of lm-eval, checked and turned into values."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from kvwire.errors import InvalidRequestError
from kvwire.requests import Exchange, FaultPolicy, Method, RelayMode
from kvwire.security import ClientSecurity

_Kind = TypeVar("_Kind", bound=StrEnum)

_EXCHANGE = {"method", "sharer", "codec", "fuser", "on_fault", "relay", "relay_max_tokens", "policy"}
_SECURITY = {"ca", "certificate", "private_key", "token_file"}
#: lm-eval gives these to every model; here the services decide.
_LM_EVAL = {"batch_size", "max_batch_size", "device"}


def exchange_of(arguments: Mapping[str, Any]) -> Exchange:
    """How the two models talk.

    Raises:
        InvalidRequestError: A method, policy or relay that does not exist.
    """
    given = {name: value for name, value in arguments.items() if name in _EXCHANGE}
    kinds: dict[str, type[StrEnum]] = {"method": Method, "on_fault": FaultPolicy, "relay": RelayMode}
    named = {name: _one_of(kind, name, given[name]) for name, kind in kinds.items() if name in given}
    return Exchange(**(given | named))


def security_of(arguments: Mapping[str, Any]) -> ClientSecurity:
    """The files that TLS and tokens need."""
    return ClientSecurity(**{name: Path(value) for name, value in arguments.items() if name in _SECURITY and value})


def check(receiver: str, num_concurrent: int, others: Mapping[str, Any]) -> None:
    """Whether these make a model.

    Raises:
        InvalidRequestError: They do not.
    """
    if not receiver:
        raise InvalidRequestError("no receiver: give the model argument receiver=HOST:PORT")
    if num_concurrent < 1:
        raise InvalidRequestError(f"num_concurrent={num_concurrent}: at least one request is in flight; give 1 or more")
    if unknown := sorted(set(others) - _EXCHANGE - _SECURITY - _LM_EVAL):
        raise InvalidRequestError(
            f"model kvwire has no argument {', '.join(unknown)}. (A codec with commas in it is given as JSON: "
            """--model_args '{"receiver": "HOST:PORT", "codec": "int8+keep=0.5,by=recency"}')"""
        )
    if str(others.get("batch_size", 1)) != "1":
        raise InvalidRequestError(
            f"batch_size={others['batch_size']}: leave it out; num_concurrent says how many requests are in flight"
        )


def _one_of(kind: type[_Kind], name: str, value: str) -> _Kind:
    if value not in set(kind):
        raise InvalidRequestError(f"{name}={value}: use one of {', '.join(kind)}")
    return kind(value)
