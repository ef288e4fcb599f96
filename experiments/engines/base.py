"""The seam between the runner, which orders items, and what answers them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from experiments.recipe import NamedRecipe
from experiments.record import Record
from experiments.turn import Turn
from kvwire.model_card import Description

#: Starts a pair, and whatever it needs, for as long as the context lasts; gives the addresses of sharer and receiver.
Start = Callable[[], AbstractContextManager[tuple[str, str]]]


@dataclass(frozen=True)
class Introduction:
    """What a worker's results depend on: its ``services`` by side, and the code and the machine it runs on."""

    services: Mapping[str, Description]
    code: Mapping[str, Any]
    machine: Mapping[str, Any]


class Worker(Protocol):
    """One pair, for one item at a time."""

    async def introduce(self) -> Introduction:
        """Say what answers here.

        Raises:
            KvwireError: The pair cannot be reached, or did not start.
        """
        ...

    async def check(self, named: NamedRecipe) -> None:
        """Try the fuser and every codec spec of a recipe.

        Raises:
            KvwireError: As :func:`experiments.preflight.preflight`.
        """
        ...

    async def close(self) -> None:
        """Let go of what belongs to the event loop that asked."""
        ...

    def answers(self, turn: Turn) -> AsyncIterator[Record]:
        """Ask a question by every arm that has no line yet.

        Raises:
            UnavailableError: The pair is at fault and not the item.
        """
        ...


class Engine(Protocol):
    """A way to have workers. ``facts`` are what the provenance says of it."""

    @property
    def facts(self) -> dict[str, Any]:
        """Its name, how many workers it has, and what each takes."""
        ...

    def workers(self, start: Start) -> AbstractContextManager[Sequence[Worker]]:
        """Start them, each with a pair of its own, and stop them at the end.

        Raises:
            KvwireError: They could not start, or this is more than there is room for.
        """
        ...
