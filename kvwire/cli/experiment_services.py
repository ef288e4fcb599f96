"""The services that recipes run on: a pair started for them, or one that runs already."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kvwire.cli.options import fusers_arguments
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service

# The arms of an item follow one another, so a few contexts are enough; 300 tokens of SmolLM2 take 14 MB.
_KEEPING = ("--reuse-bytes", str(512 * 1024 * 1024))


@dataclass(frozen=True)
class Wanted:
    """What is started: a pair of two models, with fusers (NAME=PATH) and further service ``options``.

    A plain value: it may travel to another machine. ``same_model``: the receiver's model as a second sharer too, which
    receivers know as ``self``. ``devices``: where sharers and receivers compute, as torch names it.
    """

    pair: Pair
    fusers: tuple[str, ...] = ()
    same_model: bool = False
    options: tuple[str, ...] = ()
    devices: tuple[str, str] = ("cpu", "cpu")


@contextmanager
def started(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Addresses of a sharer, which keeps what it has read, and of a receiver."""
    arguments = ["--log-level", "warning", *wanted.options, *fusers_arguments(wanted.fusers)]
    with ExitStack() as stack:
        far, near = (("--device", device) for device in wanted.devices)
        keeping = [*far, *_KEEPING]
        known = _same_model(stack, wanted.pair, [*arguments, *keeping]) if wanted.same_model else []
        pair = running_pair(wanted.pair, arguments, sharer_arguments=keeping, receiver_arguments=[*near, *known])
        sharer, receiver = stack.enter_context(pair)
        yield sharer.address, receiver.address


@contextmanager
def running(sharer: str, receiver: str) -> Iterator[tuple[str, str]]:
    """Addresses of services that somebody else started."""
    yield sharer, receiver


def _same_model(stack: ExitStack, pair: Pair, arguments: Sequence[str]) -> list[str]:
    """Start the receiver's model as a sharer; return how receivers are told of it."""
    from experiments.arms import SAME_MODEL

    own = [*Pair(pair.receiver, pair.receiver).sharer_arguments, *FREE_PORTS, *arguments]
    service = stack.enter_context(running_service("sharer_service", own))
    return ["--sharers", f"{SAME_MODEL}={service.address}"]
