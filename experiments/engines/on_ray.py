"""Pairs in actors of Ray, on this machine or on a cluster: Ray places them, restarts them and asks them again.

Import after :func:`experiments.engines.ray_environment.prepare`. Ray pickles what it carries, so a cluster must be of
machines that trust one another; files are never read that way.
"""

import logging
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from experiments.engines.base import Introduction, Start, Worker
from experiments.engines.ray_actor import NAME, PairActor
from experiments.engines.ray_environment import LOCAL
from experiments.engines.room import room
from experiments.recipe import NamedRecipe
from experiments.record import Record
from experiments.turn import Turn
from kvwire.errors import KvwireError, OverloadedError, UnavailableError

# An item that brings its pair down each time must not keep a sweep busy for ever.
_TRIES_AGAIN = 3

# Questions and records only; Ray's least is 75 MiB, its default 30 % of the memory, which the models need.
_OBJECT_STORE_BYTES = 80 * 1024 * 1024

_LISTENS_WITHIN_S = 5.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class OnRay:
    """So many ``actors``, each of which takes ``cpus`` cores and ``gpus`` GPUs, or a part of one."""

    actors: int
    cpus: int
    gpus: float
    address: str = LOCAL

    @property
    def facts(self) -> dict[str, Any]:
        """How many items run at once, and what each may take."""
        return {"engine": NAME, "workers": self.actors, "actor_cpus": self.cpus, "actor_gpus": self.gpus}

    @contextmanager
    def workers(self, start: Start) -> Iterator[Sequence[Worker]]:
        """Place the actors; they start their pairs at the same time."""
        with _cluster(self.address):
            self._see_that_they_fit()
            placed = ray.remote(PairActor).options(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                max_restarts=-1,
                max_task_retries=_TRIES_AGAIN,
                scheduling_strategy="SPREAD",
            )
            actors: list[Any] = [placed.remote(start) for _ in range(self.actors)]
            try:
                yield [_ActorWorker(actor) for actor in actors]
            finally:
                for actor in actors:
                    ray.kill(actor)

    def _see_that_they_fit(self) -> None:
        """Ray waits for ever for what no machine has.

        Raises:
            OverloadedError: The machines of the cluster have room for fewer.
        """
        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fit = sum(room(machine, self.cpus, self.gpus) for machine in machines)
        if fit < self.actors:
            has = "; ".join(f"{machine.get('CPU', 0):g} cores, {machine.get('GPU', 0):g} GPUs" for machine in machines)
            raise OverloadedError(
                f"of {self.actors} actors of {self.cpus} cores and {self.gpus:g} GPUs only {fit} fit: Ray has {has}; "
                "lower --actors, --actor-cpus or --actor-gpus, or start more machines first"
            )


class _ActorWorker:
    """A worker that is somewhere else."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def introduce(self) -> Introduction:
        return await _outcome(self._actor.introduce.remote())

    async def check(self, named: NamedRecipe) -> None:
        await _outcome(self._actor.check.remote(named))

    async def close(self) -> None:
        """The actor and its pair end with the engine's context."""

    async def answers(self, turn: Turn) -> AsyncIterator[Record]:
        records: list[Record] = await _outcome(self._actor.answer.remote(turn))
        for record in records:
            yield record


async def _outcome(asked: Awaitable[_T]) -> _T:
    """What an actor's method came to.

    Raises:
        KvwireError: The one it raised.
        UnavailableError: The actor died, and again each time it was restarted.
    """
    try:
        return await asked
    except RayTaskError as failure:
        if isinstance(failure.cause, KvwireError):
            raise failure.cause from None
        raise
    except RayError as failure:
        words = str(failure).strip().splitlines()[-1]
        raise UnavailableError(
            f"an actor is gone, {type(failure).__name__}: {words}; what is written stays, "
            "run the same command again to go on"
        ) from failure


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Ray at an address, or one of our own for as long as the context lasts.

    Raises:
        UnavailableError: There is none, or it is of another version.
    """
    with tempfile.TemporaryDirectory(prefix="kvwire-", ignore_cleanup_errors=True) as folder:
        own: dict[str, Any] = {
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }
        try:
            if ":" in address:
                _see_that_it_listens(address)
            ray.init(address, logging_level=logging.WARNING, **(own if address == LOCAL else {}))
        except (OSError, OverflowError, RuntimeError, ValueError, RayError) as error:
            raise UnavailableError(f"no Ray at {address!r}: {error}; check `ray status` on its head") from error
        try:
            yield
        finally:
            ray.shutdown()


def _see_that_it_listens(address: str) -> None:
    """Ray itself tries for minutes.

    Raises:
        OSError: Nobody does.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _LISTENS_WITHIN_S).close()
