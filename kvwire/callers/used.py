"""What one caller has used of its allowance."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kvwire.callers.bucket import Bucket
from kvwire.callers.caller import Caller, Size
from kvwire.errors import OverloadedError, TooLargeError

_DAY_S = 86_400.0


class Used:
    """Counts a caller's requests. Not for several threads: all of a service's are admitted on its event loop."""

    def __init__(self, caller: Caller, clock: Callable[[], float]) -> None:
        allowance = caller.allowance
        self._who = f"caller {caller.name}"
        self._allowance = allowance
        self._in_flight = 0
        self._buckets: list[tuple[Bucket, str]] = []
        if allowance.requests_per_second:
            burst = allowance.burst or max(1, math.ceil(allowance.requests_per_second))
            rate = f"{allowance.requests_per_second:g} requests a second, {burst} at once"
            self._buckets.append((Bucket(burst, allowance.requests_per_second, clock), rate))
        if allowance.requests_per_day:
            count = allowance.requests_per_day
            self._buckets.append((Bucket(count, count / _DAY_S, clock), f"{count} requests a day"))

    @contextmanager
    def admitted(self, size: Size) -> Iterator[None]:
        """Take a place and what the request counts as; the place is free again at the end.

        Raises:
            TooLargeError: No wait would make it fit the caller's allowance; nothing is taken.
            OverloadedError: It would go beyond it now; nothing is taken.
        """
        self._fits(size)
        for bucket, _ in self._buckets:
            bucket.take(size.requests)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    def _fits(self, size: Size) -> None:
        allowance = self._allowance
        if 0 < allowance.max_request_bytes < size.nbytes:
            raise TooLargeError(
                f"{self._who} may send {allowance.max_request_bytes} bytes in a request, this one has {size.nbytes}; "
                "shorten it"
            )
        if 0 < allowance.max_new_tokens < size.new_tokens:
            raise TooLargeError(
                f"{self._who} may have {allowance.max_new_tokens} tokens made, {size.new_tokens} are asked for; "
                "ask for fewer"
            )
        if 0 < allowance.max_in_flight <= self._in_flight:
            raise OverloadedError(
                f"{self._who} has {self._in_flight} requests in flight, its limit is {allowance.max_in_flight}; "
                "try again when one has ended"
            )
        for bucket, rate in self._buckets:
            wait_s = bucket.wait_s(size.requests)
            if wait_s == math.inf:
                raise TooLargeError(
                    f"{self._who} may make {rate}, this asks for {size.requests} at once; ask for fewer"
                )
            if wait_s > 0:
                raise OverloadedError(f"{self._who} may make {rate}; try again in {max(wait_s, 0.1):.1f} s")
