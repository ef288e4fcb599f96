"""How often a sharer may be called again: so rarely that an outage is not multiplied by those who try again.

Source: gRFC A6, "Throttling Retry Attempts and Hedged RPCs"; gRPC's own serves no call that fails after its first
message, as most of a cache's do.
"""

_MOST_TOKENS = 10.0
_PER_ANSWER = 0.1


class RetryBudget:
    """A bucket of tokens: a failed call takes one, an answered one gives a tenth back; half of them stay untouched.

    In a lasting outage the first four failures are tried again, and then none until enough calls were answered.
    """

    def __init__(self) -> None:
        self._tokens = _MOST_TOKENS

    @property
    def allows(self) -> bool:
        """Whether what failed may be tried again."""
        return self._tokens > _MOST_TOKENS / 2

    def failed(self) -> None:
        """A call failed in a way that may pass."""
        self._tokens = max(0.0, self._tokens - 1)

    def answered(self) -> None:
        """A call was answered."""
        self._tokens = min(_MOST_TOKENS, self._tokens + _PER_ANSWER)
