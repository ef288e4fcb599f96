"""Runs one gRPC server from start to drained stop."""

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from kvwire.callers.door import Door
from kvwire.errors import KvwireError, StartError
from kvwire.http_server import HttpServer, Route
from kvwire.launched import announce
from kvwire.rpc.in_flight import InFlight
from kvwire.rpc.interceptors import Gate
from kvwire.rpc.probe import Probe
from kvwire.security import PING_EVERY_MS, ServerSecurity, is_loopback
from kvwire.telemetry import Metrics
from kvwire.tracing import Tracer

_log = logging.getLogger(__name__)

# How long requests in flight may take to finish after SIGTERM, in seconds; Kubernetes kills after 30.
_DRAIN_S = 25.0


@dataclass(frozen=True)
class Listening:
    """Where and how a server listens."""

    listen: str
    metrics_listen: str
    security: ServerSecurity
    door: Door
    max_message_bytes: int


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """What every server is made with."""
    return [
        ("grpc.so_reuseport", 0),  # a second server on the same port is a mistake, not a feature
        ("grpc.max_receive_message_length", max_message_bytes),
        # Clients ping as often as this, with a call and without; by gRPC's defaults they would be sent away for it.
        ("grpc.http2.min_ping_interval_without_data_ms", PING_EVERY_MS // 2),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


async def serve(
    listening: Listening,
    metrics: Metrics,
    tracer: Tracer,
    register: Callable[[grpc.aio.Server], None],
    services: Sequence[str],
    pages: Mapping[str, Route],
    try_out: Callable[[], Awaitable[None]],
) -> None:
    """Serve until SIGTERM or SIGINT, then refuse new calls, finish those in flight and return.

    ``pages``: what the metrics' port answers besides, by path. ``try_out`` answers a request as callers' are answered;
    the service is ready once it has.

    Prints one JSON line with the bound addresses to standard output when ready.

    Raises:
        StartError: The address is taken, the certificates cannot be used, or the request was not answered.
    """
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    calls = InFlight()
    server = grpc.aio.server(
        interceptors=[Gate(metrics, listening.door, tracer, calls)],
        options=server_options(listening.max_message_bytes),
    )
    register(server)
    probe = Probe(services)
    health_pb2_grpc.add_HealthServicer_to_server(probe, server)
    reflection.enable_server_reflection([*services, "grpc.health.v1.Health", reflection.SERVICE_NAME], server)
    address = _bind(server, listening)
    http = HttpServer(listening.metrics_listen, {"/metrics": metrics.route(), **pages})
    try:
        await server.start()
        await _tried(try_out)
        _settle()
        probe.serves()
        _announce(address, http.address)
        await stop.wait()
        _log.info("stopping: requests in flight may finish within %.0f s", _DRAIN_S)
        probe.stops()
        await asyncio.gather(_drained(server, calls), asyncio.to_thread(http.drain, _DRAIN_S))
        _log.info("stopped")
    finally:
        await server.stop(None)
        await asyncio.to_thread(http.close)
        await asyncio.to_thread(tracer.close)


async def _drained(server: grpc.aio.Server, calls: InFlight) -> None:
    """Let calls in flight end, and then what they wrote arrive, before connections are closed.

    gRPC says that it will close a connection, and with that sends a ping. One without calls it closes when the ping is
    answered, and so everything before it was read. One with calls it would close as soon as the last of them has
    written, and a peer that writes to it after that loses what is still under way.
    """
    ends_s = time.monotonic() + _DRAIN_S
    await calls.drained(_DRAIN_S)
    await server.stop(max(0.0, ends_s - time.monotonic()))


async def _tried(try_out: Callable[[], Awaitable[None]]) -> None:
    try:
        await try_out()
    except KvwireError as error:
        raise StartError(
            f"the service cannot answer a request of a few tokens, so it is not started: {error}"
        ) from error


def _settle() -> None:
    """Take what is there by now for good: two million blocks that full collections would walk and find in use.

    They would be so dear that Python makes one only when very much is new, and what errors leave waits for it: the
    tracebacks of thousands of broken calls. The last collection is where it counts from.
    """
    gc.collect()
    gc.freeze()
    gc.collect()


def _bind(server: grpc.aio.Server, listening: Listening) -> str:
    """Bind the address and return it with the port that was taken."""
    host = listening.listen.rpartition(":")[0]
    credentials = listening.security.credentials()
    try:
        if credentials is None:
            port = server.add_insecure_port(listening.listen)
        else:
            port = server.add_secure_port(listening.listen, credentials)
    except RuntimeError as error:
        raise StartError(
            f"cannot listen on {listening.listen}: it is in use or not an address of this machine; "
            "stop the other program or choose another --listen"
        ) from error
    asks = listening.security.token_file or listening.security.client_ca
    if not is_loopback(listening.listen) and (credentials is None or asks is None):
        _log.warning(
            "listening on %s beyond this machine without TLS and known callers: a KV cache is as private as its prompt",
            listening.listen,
        )
    return f"{host}:{port}"


def _announce(address: str, metrics_address: str) -> None:
    announce(address=address, metrics=metrics_address)
    _log.info("ready at %s, metrics at http://%s/metrics", address, metrics_address)
