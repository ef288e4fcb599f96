"""Where a service runs: addresses as they are given, and names that stand for several and are looked up."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from kvwire.errors import StartError, UnavailableError

_LOOKED_UP = "dns:"
_LAST_PORT = 65535

#: The addresses of a host and a port, as ``host:port``.
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Place:
    """One address to connect to; ``name``: whom its certificate must name, if not the address itself."""

    address: str
    name: str = ""


@dataclass(frozen=True)
class Name:
    """A host that stands for all addresses that a look-up gives, as a headless service of Kubernetes does."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{_LOOKED_UP}{self.host}:{self.port}"


def parse(text: str) -> tuple[Place | Name, ...]:
    """Read ``HOST:PORT`` or ``dns:NAME:PORT``, one or several with commas between.

    Raises:
        StartError: An entry without a port that can be, or twice.
    """
    entries = [entry.strip() for entry in text.split(",")]
    if len(set(entries)) < len(entries):
        raise StartError(f"an address twice: {text!r}; name each once")
    return tuple(_entry(entry) for entry in entries)


def _entry(entry: str) -> Place | Name:
    host, _, port = entry.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise StartError(
            f"{entry!r} has no port up to {_LAST_PORT}; write HOST:PORT, or dns:NAME:PORT for all addresses of a name"
        )
    if host.startswith(_LOOKED_UP):
        return Name(host.removeprefix(_LOOKED_UP).removeprefix("///"), int(port))  # gRPC writes dns:///NAME:PORT
    return Place(entry)


def port_of(entry: Place | Name) -> int:
    """The port of an address or a name."""
    return entry.port if isinstance(entry, Name) else int(entry.address.rpartition(":")[2])


async def look_up(name: Name, resolve: Resolve) -> list[Place]:
    """What a name stands for now, in a fixed order.

    Raises:
        UnavailableError: Nothing.
    """
    try:
        found = await resolve(name.host, name.port)
    except (OSError, UnicodeError) as error:  # UnicodeError: what no host can be called
        raise UnavailableError(f"{name} stands for no address: {error}; check the name and who resolves it") from error
    return [Place(address, name.host) for address in sorted(set(found))]


async def system_resolve(host: str, port: int) -> list[str]:
    """As the operating system resolves names."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = [str(where[0]) for *_, where in found]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]
