"""A link that the kernel makes, to hold the relay against: a network namespace behind two token bucket filters.

It shapes real TCP between two hosts, but takes root and Debian's iproute2, and has a rate only: delay and loss want the
queue ``netem``, which not every kernel has.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from kvwire.errors import StartError
from kvwire.link.line import SEGMENT_BYTES
from kvwire.link.shape import Shape

#: What a full segment takes of a filter's rate: headers of TCP with time stamps, IP and Ethernet stand before it.
_FRAME_BYTES = SEGMENT_BYTES + 32 + 20 + 14

#: Enough for a filter that the kernel serves 250 times a second, at up to 260 Mbit/s.
_BURST_BYTES = 128 * 1024

#: How long what overflows the burst may wait; then it is dropped, and TCP slows down.
_LATENCY = "400ms"


@dataclass(frozen=True)
class KernelLink:
    """What stands at the far end: a host of its own, by its address; ``inside`` starts a command there."""

    namespace: str
    address: str

    @property
    def inside(self) -> tuple[str, ...]:
        """To be put before a command."""
        return ("ip", "netns", "exec", self.namespace)


@contextmanager
def kernel_link(shape: Shape) -> Iterator[KernelLink]:
    """Make a host behind a link of a shape's rate; both are gone at the end.

    Raises:
        StartError: Root or iproute2 is missing, or the shape has a delay or a loss.
    """
    if shape.delay_s or shape.loss:
        raise StartError(f"a link of the kernel has a rate only, not {shape}; take kvwire link for delay and loss")
    name = f"kvw{os.getpid()}"
    near, far = f"{name}n", f"{name}f"
    network = f"10.77.{os.getpid() % 256}"
    with ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "del", name)
        _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name)
        stack.callback(
            _ip, "link", "del", near
        )  # and with it the other end, which would outlive its namespace a little
        _ip("addr", "add", f"{network}.1/24", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", name, "addr", "add", f"{network}.2/24", "dev", far)
        _ip("-n", name, "link", "set", far, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        _filter(near, shape)
        _filter(far, shape, "-n", name)
        yield KernelLink(name, f"{network}.2")


def _filter(device: str, shape: Shape, *options: str) -> None:
    rate = f"{8 * shape.rate_bytes_s * _FRAME_BYTES / SEGMENT_BYTES:.0f}bit"
    bucket = ("rate", rate, "burst", str(_BURST_BYTES), "latency", _LATENCY)
    _run("tc", *options, "qdisc", "add", "dev", device, "root", "tbf", *bucket)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # fixed words and numbers
    except FileNotFoundError as error:
        raise StartError(f"{command[0]} is missing; install iproute2") from error
    except subprocess.CalledProcessError as error:
        raise StartError(f"{' '.join(command)}: {error.stderr.strip()}; to make a link takes root") from error
