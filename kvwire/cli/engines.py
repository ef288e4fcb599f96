"""The engines of ``kvwire experiment run``, made from its options."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kvwire.cli.options import fusers_arguments
from kvwire.errors import InvalidRequestError, UnsupportedError
from kvwire.processes import Pair, running_pair

if TYPE_CHECKING:
    from experiments.engines.base import Engine

# The arms of an item follow one another, so a few contexts are enough; 300 tokens of SmolLM2 take 14 MB.
_REUSE_BYTES = 512 * 1024 * 1024

_HOST_AND_PORT = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


class EngineName(StrEnum):
    """Where items are answered."""

    IN_PROCESS = "in-process"
    RAY = "ray"


@dataclass(frozen=True)
class Models:
    """What every started pair is made of."""

    pair: Pair
    fusers: Sequence[str] | None


@dataclass(frozen=True)
class Running:
    """Services that run already, as the options name them; all empty if there are none."""

    receiver: str
    sharer: str
    ca: Path | None
    token_file: Path | None


@dataclass(frozen=True)
class Actors:
    """The options of Ray; None is what was not given."""

    count: int | None
    cpus: int | None
    gpus: float | None
    address: str | None


def in_process(models: Models, running: Running, workers: int | None, actors: Actors) -> "Engine":
    """Pairs beside this process, or those that run.

    Raises:
        InvalidRequestError: Options that do not go together.
    """
    from experiments.engines.in_process import InProcess
    from kvwire.client import Client
    from kvwire.security import ClientSecurity

    if actors != Actors(None, None, None, None):
        raise InvalidRequestError("--actors, --actor-cpus, --actor-gpus and --ray-address are of Ray; add --engine ray")
    if bool(running.receiver) != bool(running.sharer):
        raise InvalidRequestError("give both --receiver and --sharer, or neither: both models go into the provenance")
    connect = partial(Client, security=ClientSecurity(ca=running.ca, token_file=running.token_file))
    if running.receiver:
        if workers is not None:
            raise InvalidRequestError("--workers starts pairs of its own; leave it out, or --receiver and --sharer")
        return InProcess([partial(_there, running.sharer, running.receiver)], connect)
    count = workers or 1
    threads = [] if count == 1 else ["--threads", str(max(1, (os.cpu_count() or 1) // count))]
    return InProcess([partial(started, models, threads)] * count, connect)


def on_ray(models: Models, running: Running, workers: int | None, actors: Actors) -> "Engine":
    """A pair in each actor, with as many threads as the actor has cores.

    Raises:
        InvalidRequestError: Options that do not go together, or that Ray cannot use.
        UnsupportedError: Ray is not installed.
    """
    if running != Running("", "", None, None) or workers is not None:
        raise InvalidRequestError(
            "actors start pairs of their own: leave out --receiver, --sharer, --ca and --token-file, "
            "and say --actors for --workers"
        )
    address = actors.address or "local"
    if address not in ("local", "auto") and not _HOST_AND_PORT.fullmatch(address):
        raise InvalidRequestError(f"--ray-address {address!r} is no address; give local, auto or HOST:PORT")
    if find_spec("ray") is None:
        raise UnsupportedError("--engine ray needs Ray, which is not installed here; pip install 'kvwire[ray]'")
    cpus, gpus = actors.cpus or 1, actors.gpus or 0.0
    device = ["--device", "cuda"] if gpus else []
    from experiments.engines.ray_environment import prepare

    prepare(address)
    from experiments.engines.on_ray import OnRay

    start = partial(started, models, ["--threads", str(cpus), *device])
    return OnRay(start, actors.count or 1, cpus, gpus, address)


@contextmanager
def started(models: Models, arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A pair whose sharer keeps what it has read; ``arguments`` are for both of its services."""
    both = ["--log-level", "warning", *fusers_arguments(models.fusers), *arguments]
    keeping = ["--reuse-bytes", str(_REUSE_BYTES)]
    with running_pair(models.pair, both, sharer_arguments=keeping) as (sharer, receiver):
        yield sharer.address, receiver.address


@contextmanager
def _there(sharer: str, receiver: str) -> Iterator[tuple[str, str]]:
    yield sharer, receiver
