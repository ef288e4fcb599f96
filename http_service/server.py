"""Serves the front door from start to drained stop."""

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from http_service.app import application
from http_service.metrics import Metrics
from http_service.receiver import Receiver
from kvwire.client import Client
from kvwire.config import HttpSettings
from kvwire.errors import StartError
from kvwire.http_server import HttpServer
from kvwire.launched import announce
from kvwire.security import is_loopback
from kvwire.tracing import tracer

_log = logging.getLogger(__name__)

# How long answers in flight may take to finish after SIGTERM, in seconds; as long as the receiver gives them.
_DRAIN_S = 25

# Connections that wait to be taken; a burst beyond it is retried by TCP.
_BACKLOG = 2048


async def run(settings: HttpSettings) -> None:
    """Serve until SIGTERM or SIGINT, then refuse new requests, finish those in flight and return.

    Prints one JSON line with the bound addresses to standard output when ready. It is ready without its receiver, which
    ``/health`` asks.

    Raises:
        StartError: The address is taken, or the certificates cannot be used.
    """
    context = settings.server_security().ssl_context()
    metrics, tracing = Metrics(), tracer("http", settings.otlp_endpoint)
    async with Client(settings.receiver, settings.receiver_security(), settings.balance) as client:
        config = uvicorn.Config(
            application(Receiver(client), metrics, tracing, settings.max_message_bytes),
            log_config=None,  # our own is set up already
            access_log=False,  # one line per request is ours
            http="h11",
            ws="none",
            lifespan="off",
            backlog=_BACKLOG,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
            ssl_context_factory=None if context is None else _ready(context),
        )
        listening, address = _bind(settings.listen)
        if not is_loopback(settings.listen) and context is None:
            _log.warning("listening on %s beyond this machine without TLS: prompts and tokens can be read", address)
        scraped = HttpServer(settings.metrics_listen, {"/metrics": metrics.route()})
        try:
            await _Server(config, address, scraped.address).serve([listening])
        finally:
            await asyncio.to_thread(scraped.close)
            await asyncio.to_thread(tracing.close)


def _ready(context: ssl.SSLContext) -> Callable[..., ssl.SSLContext]:
    """What uvicorn takes in place of a context that is there already."""
    return lambda *_: context


def _bind(listen: str) -> tuple[socket.socket, str]:
    """A socket at ``host:port``, and its address with the port that was taken."""
    host, _, port = listen.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        taken = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, ValueError) as error:  # OverflowError: a port beyond 65535
        raise StartError(f"cannot listen on {listen}: {error}; choose another --listen") from error
    return taken, f"{host}:{taken.getsockname()[1]}"


class _Server(uvicorn.Server):
    """Says when it is ready, and ends with status 0 when it is told to stop."""

    def __init__(self, config: uvicorn.Config, address: str, metrics_address: str) -> None:
        super().__init__(config)
        self._address = address
        self._metrics_address = metrics_address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        announce(address=self._address, metrics=self._metrics_address)
        _log.info("ready at %s, metrics at http://%s/metrics", self._address, self._metrics_address)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take signals on the event loop, as the other services do; uvicorn's own way ends the process by them."""
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, self._stop)
        yield

    def _stop(self) -> None:
        _log.info("stopping: answers in flight may finish within %d s", _DRAIN_S)
        self.should_exit = True
