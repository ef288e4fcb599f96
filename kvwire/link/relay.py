"""A TCP relay that is a link: what it takes in at one end comes out at the other when a line would have it there.

Modelled: the rate, shared by all connections of a direction; the delay; and a lost segment, which is sent once more and
holds up everything of its connection behind it for a round trip, as TCP delivers in order. Not modelled: that TCP opens
its congestion window slowly and halves it after a loss (the rate stays), timeouts of a lost tail, queues that overflow.
The sender's TCP sees the near end only: what it has sent is acknowledged at once, up to what the link holds.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from kvwire.errors import StartError
from kvwire.link.flight import Flight
from kvwire.link.line import Line
from kvwire.link.shape import Shape

# What the kernel may hold before the link takes it, per socket and direction: with its default of up to 32 MiB whole
# caches would leave the sender at once, and no back-pressure reach it.
_SOCKET_BYTES = 128 * 1024
_CONNECT_TIMEOUT_S = 10.0
_LAST_PORT = 65535


@dataclass(frozen=True)
class Address:
    """Where a socket is or is to be."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``host:port``.

        Raises:
            StartError: It has no port that can be.
        """
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > _LAST_PORT:
            raise StartError(f"{text!r} is not an address; write HOST:PORT, the port up to {_LAST_PORT}")
        return cls(host.strip("[]"), int(port))


class Relay:
    """A link from an address of this machine to a service."""

    def __init__(self, listen: str, to: str, shape: Shape, random: Random) -> None:
        """Bind ``listen``; nothing is accepted before :meth:`serve`.

        Raises:
            StartError: An address cannot be used.
        """
        near, self._to = Address.parse(listen), Address.parse(to)
        self._there, self._back = Line(shape, random), Line(shape, random)
        try:
            self._listener = socket.create_server((near.host, near.port), family=_family(near.host))
        except OSError as error:
            raise StartError(f"cannot listen on {listen}: {error.strerror}; choose another --listen") from error
        _limit(self._listener)  # those that are accepted inherit it
        self.address = f"{near.host}:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept connections until :meth:`close`."""
        with contextlib.suppress(OSError):  # how accept says that the listener was closed
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Accept no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _join(self, near: socket.socket) -> None:
        """Open the connection's other half and move bytes both ways until both have ended."""
        with near, socket.socket(_family(self._to.host), socket.SOCK_STREAM) as far:
            try:
                _limit(far)
                far.settimeout(_CONNECT_TIMEOUT_S)
                far.connect((self._to.host, self._to.port))
                far.settimeout(None)
            except OSError:
                return  # the near end sees its connection end, as it would without a link
            ways = (_Way(self._there, near, far), _Way(self._back, far, near))
            threads = [
                threading.Thread(target=work, daemon=True) for way in ways for work in (way.take_in, way.let_out)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


class _Way:
    """One direction of one connection; each half runs on a thread of its own."""

    def __init__(self, line: Line, source: socket.socket, sink: socket.socket) -> None:
        self._line = line
        self._source = source
        self._sink = sink
        self._flight = Flight(line.flight_bytes)

    def take_in(self) -> None:
        """Read what comes and put it on the line; an empty piece tells the end."""
        held_up_s = 0.0
        with self._ended_together():
            piece = b"-"
            while piece:
                piece = self._source.recv(self._line.piece_bytes)
                due_s = self._line.carry(len(piece))
                again_s = self._line.carry_again(len(piece))
                held_up_s = max(held_up_s, due_s, again_s or 0.0)
                self._flight.put(held_up_s, piece)

    def let_out(self) -> None:
        """Write what has reached the far end."""
        with self._ended_together():
            while piece := self._flight.take():
                self._sink.sendall(piece)
                self._flight.landed(piece)
            self._sink.shutdown(socket.SHUT_WR)

    @contextlib.contextmanager
    def _ended_together(self) -> Iterator[None]:
        """Have an end that breaks break everything of its connection."""
        try:
            yield
        except OSError:
            self._flight.close()
            for end in (self._source, self._sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _limit(end: socket.socket) -> None:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        end.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES // 2)  # the kernel takes it twice
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
