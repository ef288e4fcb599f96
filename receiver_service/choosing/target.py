"""What a request wants of its codec, as it names it: ``ttft=300ms``, ``ttft=1.5s`` or ``bytes=65536``."""

import re
from dataclasses import dataclass

from kvwire.errors import SpecError

_TTFT = re.compile(r"ttft=([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s)")
_BYTES = re.compile(r"bytes=([1-9][0-9]{0,11})")


@dataclass(frozen=True)
class FirstTokenWithin:
    """So many seconds from the request to its first token."""

    seconds: float


@dataclass(frozen=True)
class BytesWithin:
    """So many bytes of frames."""

    bytes: int


Target = FirstTokenWithin | BytesWithin


def target(policy: str) -> Target | None:
    """The target that a policy names; None if it is not for the receiver to choose.

    Raises:
        SpecError: It would be one, but for how it is written.
    """
    if (found := _TTFT.fullmatch(policy)) is not None:
        return FirstTokenWithin(float(found[1]) / (1000 if found[2] == "ms" else 1))
    if (found := _BYTES.fullmatch(policy)) is not None:
        return BytesWithin(int(found[1]))
    if policy.startswith(("ttft=", "bytes=")):
        raise SpecError(
            f"policy {policy!r} is not written as it should be; such are ttft=300ms, ttft=1.5s, bytes=65536"
        )
    return None
