"""Which of several is asked."""

from collections.abc import Callable, Mapping, Sequence

from simulation.requests import Request

#: Of so many in flight with each, for the n-th request, which place in the row.
Choice = Callable[[Sequence[int], int, Request], int]


def in_turn(in_flight: Sequence[int], index: int, request: Request) -> int:
    """One after the other."""
    del request
    return index % len(in_flight)


def fewest(in_flight: Sequence[int], index: int, request: Request) -> int:
    """The one with the fewest in flight; of equals the context's own."""
    del index
    return min(range(len(in_flight)), key=lambda place: (in_flight[place], (place - request.context) % len(in_flight)))


def by_context(in_flight: Sequence[int], index: int, request: Request) -> int:
    """Always the same one for the same context, so that it is asked where it is held."""
    del index
    return request.context % len(in_flight)


CHOICES: Mapping[str, Choice] = {"in_turn": in_turn, "fewest": fewest, "by_context": by_context}
