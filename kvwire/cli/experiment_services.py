"""The services that recipes run on: those at given addresses, or pairs started for them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kvwire.cli.options import Addresses, fusers_arguments
from kvwire.errors import InvalidRequestError
from kvwire.processes import Pair, running_pair, running_service

# The arms of an item follow one another, so a few contexts are enough; 300 tokens of SmolLM2 take 14 MB.
_KEEPING = ("--reuse-bytes", str(512 * 1024 * 1024))


@dataclass(frozen=True)
class Wanted:
    """What is started: ``workers`` pairs of two models, with fusers (NAME=PATH) and further service ``options``.

    ``same_model``: the receiver's model as a second sharer too, which receivers know as ``self``. ``devices``: where
    sharers and receivers compute, as torch names it.
    """

    pair: Pair
    fusers: tuple[str, ...] = ()
    same_model: bool = False
    workers: int = 1
    options: tuple[str, ...] = ()
    devices: tuple[str, str] = ("cpu", "cpu")


@contextmanager
def at_addresses(receiver: str, sharer: str, workers: int) -> Iterator[list[Addresses]]:
    """Services that run already.

    Raises:
        InvalidRequestError: One of them is missing, or there should be several.
    """
    if not (receiver and sharer):
        raise InvalidRequestError("give both --receiver and --sharer, or neither: both models go into the provenance")
    if workers > 1:
        raise InvalidRequestError("--workers starts pairs of its own; leave it out, or --receiver and --sharer")
    yield [Addresses(sharer, receiver)]


@contextmanager
def started(wanted: Wanted) -> Iterator[list[Addresses]]:
    """Pairs that share the cores, whose sharers keep what they have read."""
    arguments = ["--log-level", "warning", *wanted.options, *fusers_arguments(wanted.fusers)]
    if wanted.workers > 1:
        arguments += ["--threads", str(max(1, (os.cpu_count() or 1) // wanted.workers))]
    with ExitStack() as stack:
        far, near = (("--device", device) for device in wanted.devices)
        keeping = [*far, *_KEEPING]
        known = _same_model(stack, wanted.pair, [*arguments, *keeping]) if wanted.same_model else []
        pairs = [
            stack.enter_context(
                running_pair(wanted.pair, arguments, sharer_arguments=keeping, receiver_arguments=[*near, *known])
            )
            for _ in range(wanted.workers)
        ]
        yield [Addresses(sharer.address, receiver.address) for sharer, receiver in pairs]


def _same_model(stack: ExitStack, pair: Pair, arguments: Sequence[str]) -> list[str]:
    """Start the receiver's model as a sharer; return how receivers are told of it."""
    from experiments.arms import SAME_MODEL

    free = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    own = [*Pair(pair.receiver, pair.receiver).sharer_arguments, *free, *arguments]
    service = stack.enter_context(running_service("sharer_service", own))
    return ["--sharers", f"{SAME_MODEL}={service.address}"]
