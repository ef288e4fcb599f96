"""The sockets under the HTTP port: a thread for each connection, that nothing slow can hold for long."""

import logging
import select
import socket
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

_log = logging.getLogger(__name__)

# Every request is one small packet, every answer fits the socket's buffer: who is slower than this has gone.
_SLOW_S = 10.0

#: Key of a request's environment: a function that tells whether its sender has closed the connection.
GONE = "kvwire.gone"


class _Handler(WSGIRequestHandler):
    """Reads one request; it logs no line, and drops who sends or reads nothing for too long."""

    timeout = _SLOW_S

    def get_environ(self) -> dict[str, Any]:
        return super().get_environ() | {GONE: lambda: _has_closed(self.connection)}

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the parent's name
        pass


class SocketServer(ThreadingMixIn, WSGIServer):
    """Listens at a host, by name or address of either family, and a port."""

    daemon_threads = True  # closing does not wait for connections that are open

    def __init__(self, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((host, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke or took too long is nothing to tell of."""
        del request
        _log.debug("the connection of %s ended early", client_address, exc_info=True)


def _has_closed(connection: socket.socket) -> bool:
    """Whether the other side sends no more; a browser that waits for an answer keeps its side open."""
    waiting = select.poll()  # select() takes no descriptor beyond 1023, and a service may have more
    waiting.register(connection, select.POLLIN)
    try:
        return bool(waiting.poll(0)) and not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
