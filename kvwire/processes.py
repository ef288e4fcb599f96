"""Starts services as processes of their own and stops them again."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from kvwire.errors import InvalidRequestError, StartError
from kvwire.link.shape import Shape

# A cold start converts a model, which takes up to a minute on two cores; pulling shows its own progress.
_READY_TIMEOUT_S = 900.0
_STOP_TIMEOUT_S = 30.0

# What each service starts with unless the environment says otherwise. With glibc's defaults every 1 MiB message is
# mapped and unmapped anew; these sizes, in bytes, made gRPC streaming 3 times faster (measured on loopback).
_ENVIRONMENT = {
    # Two services on two cores: a thread that waits for work must not burn the core the other service needs, but going
    # to sleep between two operators costs a third of a small forward pass. So it spins for some 0.1 ms and then sleeps
    # (32 tokens of SmolLM2-135M on 2 cores, 2026-11-23: 106 ms passive, 85 ms so, 81 ms with libgomp's default).
    "GOMP_SPINCOUNT": "10000",
    # One heap for all threads: with one for each, what a thread gave back is no use to another, and a sharer that read
    # 4,096 tokens stood at 652 to 693 MB above an idle one, with one heap at 436 to 527 (2026-11-24).
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}

#: A service listens, and tells its metrics, on whatever ports of this machine are free.
FREE_PORTS = ("--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0")


def free_port() -> int:
    """A port of this machine that is free now, for what cannot take port 0."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass(frozen=True)
class Pair:
    """References of the models on both sides, as in ``SHARER:RECEIVER``."""

    sharer: str
    receiver: str

    @classmethod
    def parse(cls, text: str) -> "Pair":
        """Read ``SHARER:RECEIVER``; a reference with a scheme keeps its own colon.

        Raises:
            InvalidRequestError: It is not two references.
        """
        pieces = iter(text.split(":"))
        references = [f"{piece}:{next(pieces, '')}" if piece in ("hf", "path") else piece for piece in pieces]
        if len(references) != 2 or not all(references):  # noqa: PLR2004  # a pair
            raise InvalidRequestError(
                f"{text!r} is not a pair; write SHARER:RECEIVER, for example smollm2-135m:smollm2-135m"
            )
        return cls(*references)

    @property
    def sharer_arguments(self) -> list[str]:
        """What a sharer is started with to read for this receiver."""
        tokenizers = [] if self.sharer == self.receiver else ["--tokenizers", self.receiver]
        return ["--model", self.sharer, *tokenizers]

    def __str__(self) -> str:
        return f"{self.sharer}:{self.receiver}"


@dataclass(frozen=True)
class RunningService:
    """A process that is ready; ``metrics`` is empty if it has none."""

    name: str
    process: subprocess.Popen[str]
    address: str
    metrics: str


def started(command: Sequence[str], environment: Mapping[str, str], log: IO[str] | None) -> subprocess.Popen[str]:
    """The process of a service: its standard output says when it is ready; nothing is written to its standard input."""
    return subprocess.Popen(  # noqa: S603  # our own interpreter and module
        command,
        stdin=subprocess.PIPE,  # it ends when this process does, however that happens
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C stops the launcher, which then stops its services in order
    )


@contextmanager
def running_service(
    module: str, arguments: Sequence[str], log: Path | None = None, inside: Sequence[str] = ()
) -> Iterator[RunningService]:
    """Start ``python -m module``, wait until it is ready, and stop it gracefully at the end.

    Its log goes to ``log``, or to this process's standard error. ``inside`` is what starts a command on another host.

    Raises:
        StartError: It ended before it was ready; its last words are in the message.
    """
    sink: IO[str] | None = log.open("a") if log else None
    command = [*inside, sys.executable, "-m", module, "--stop-with-stdin", *arguments]
    process = started(command, {**_ENVIRONMENT, **os.environ}, sink)
    try:
        yield _wait_ready(module, process, log)
    finally:
        _stop(process)
        if sink is not None:
            sink.close()


@contextmanager
def running_pair(
    pair: Pair,
    arguments: Sequence[str] = (),
    log_dir: Path | None = None,
    sharer_arguments: Sequence[str] = (),
    receiver_arguments: Sequence[str] = (),
    link: Shape | None = None,
) -> Iterator[tuple[RunningService, RunningService]]:
    """A sharer and a receiver on free loopback ports; the receiver knows the sharer as ``sharer``.

    ``arguments`` go to both services, ``sharer_arguments`` and ``receiver_arguments`` to one alone. The receiver
    reaches the sharer over the ``link``, if one is given.

    Raises:
        StartError: One of them did not start.
    """
    free = [*FREE_PORTS, *arguments]
    logs = [log_dir / f"{name}.log" if log_dir else None for name in ("sharer", "receiver")]
    with ExitStack() as stack:
        own = [*pair.sharer_arguments, *free, *sharer_arguments]
        sharer = stack.enter_context(running_service("sharer_service", own, logs[0]))
        near = sharer if link is None else stack.enter_context(running_link(sharer.address, link))
        own = ["--model", pair.receiver, "--sharers", f"sharer={near.address}", *free, *receiver_arguments]
        yield sharer, stack.enter_context(running_service("receiver_service", own, logs[1]))


@contextmanager
def running_link(to: str, shape: Shape, log: Path | None = None) -> Iterator[RunningService]:
    """A link on a free loopback port to the service at ``to``; whoever connects to its address gets there.

    Raises:
        StartError: It did not start.
    """
    with running_service("kvwire.link", ["--to", to, *shape.arguments], log) as link:
        yield link


def _wait_ready(module: str, process: subprocess.Popen[str], log: Path | None) -> RunningService:
    timer = threading.Timer(_READY_TIMEOUT_S, process.kill)
    timer.daemon = True  # Ctrl-C may strike anywhere below
    timer.start()
    try:
        line = process.stdout.readline() if process.stdout else ""
    finally:
        timer.cancel()
    if not line:
        process.wait()
        words = log.read_text()[-500:].strip() if log else "its log is above"
        raise StartError(f"{module} ended with status {process.returncode} before it was ready: {words}")
    ready = json.loads(line)
    return RunningService(module, process, ready["address"], ready.get("metrics", ""))


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def wait_until_one_ends(services: Sequence[RunningService]) -> None:
    """Block until a service ends by itself.

    Raises:
        StartError: One did; the others are stopped by their context managers.
    """
    threads = [threading.Thread(target=service.process.wait, daemon=True) for service in services]
    for thread in threads:
        thread.start()
    while all(thread.is_alive() for thread in threads):
        threads[0].join(timeout=0.5)
    ended = next(s for s in services if s.process.poll() is not None)
    raise StartError(f"{ended.name} ended by itself with status {ended.process.returncode}; its log says why")
