"""The engines of ``kvwire experiment run``, made from its options."""

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kvwire.errors import InvalidRequestError, UnsupportedError

if TYPE_CHECKING:
    from experiments.engines.base import Engine

_HOST_AND_PORT = re.compile(r"[\w.-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}")


class EngineName(StrEnum):
    """Where items are answered."""

    IN_PROCESS = "in-process"
    RAY = "ray"


@dataclass(frozen=True)
class Running:
    """Services that run already, as the options name them; all empty if there are none."""

    receiver: str = ""
    sharer: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    token_file: Path | None = None


@dataclass(frozen=True)
class Actors:
    """The options of Ray; None is what was not given."""

    count: int | None = None
    cpus: int | None = None
    gpus: float | None = None
    address: str | None = None


@dataclass(frozen=True)
class Chosen:
    """An engine, and the ``options`` of the services that are started for it.

    ``devices``: where sharers and receivers compute, as torch names it.
    """

    engine: "Engine"
    options: tuple[str, ...] = ()
    devices: tuple[str, str] = ("cpu", "cpu")


def in_process(running: Running, workers: int | None, actors: Actors) -> Chosen:
    """Pairs beside this process that share the cores, or the one that runs.

    Raises:
        InvalidRequestError: Options that do not go together.
    """
    from experiments.engines.in_process import InProcess
    from kvwire.client import Client
    from kvwire.security import ClientSecurity

    if actors != Actors():
        raise InvalidRequestError("--actors, --actor-cpus, --actor-gpus and --ray-address are of Ray; add --engine ray")
    if bool(running.receiver) != bool(running.sharer):
        raise InvalidRequestError("give both --receiver and --sharer, or neither: both models go into the provenance")
    if running.receiver and workers is not None:
        raise InvalidRequestError("--workers starts pairs of its own; leave it out, or --receiver and --sharer")
    security = ClientSecurity(running.ca, running.certificate, running.private_key, running.token_file)
    connect = partial(Client, security=security)
    pairs = workers or 1
    threads = () if pairs == 1 else ("--threads", str(max(1, (os.cpu_count() or 1) // pairs)))
    return Chosen(InProcess(pairs, connect), threads)


def on_ray(running: Running, workers: int | None, actors: Actors) -> Chosen:
    """A pair in each actor, with as many threads as the actor has cores.

    Raises:
        InvalidRequestError: Options that do not go together, or that Ray cannot use.
        UnsupportedError: Ray is not installed.
    """
    if running != Running() or workers is not None:
        raise InvalidRequestError(
            "actors start pairs of their own: leave out --receiver, --sharer, --ca, --cert, --key and --token-file, "
            "and say --actors for --workers"
        )
    address = actors.address or "local"
    if address not in ("local", "auto") and not _HOST_AND_PORT.fullmatch(address):
        raise InvalidRequestError(f"--ray-address {address!r} is no address; give local, auto or HOST:PORT")
    if find_spec("ray") is None:
        raise UnsupportedError("--engine ray needs Ray, which is not installed here; pip install 'kvwire[ray]'")
    from experiments.engines.ray_environment import prepare

    prepare(address)
    from experiments.engines.on_ray import OnRay

    cpus, gpus = actors.cpus or 1, actors.gpus or 0.0
    device = "cuda" if gpus else "cpu"
    return Chosen(OnRay(actors.count or 1, cpus, gpus, address), ("--threads", str(cpus)), (device, device))
