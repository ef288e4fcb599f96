"""Health as gRPC defines it (grpc.health.v1), by Check and Watch."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kvwire.rpc.context import Context

_Status = health_pb2.HealthCheckResponse


class Probe(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # generated without types
    """All services of a server, and the server itself, by one status: NOT_SERVING until it serves, and once it stops.

    A watch ends when it has told that: one that stayed open would hold up the stop for as long as requests may take.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = frozenset(("", *services))
        self._status = _Status.NOT_SERVING
        self._stops = False
        self._changed = asyncio.Event()

    def serves(self) -> None:
        """Say SERVING from now on."""
        self._status = _Status.SERVING
        self._tell()

    def stops(self) -> None:
        """Say NOT_SERVING, and end the watches."""
        self._status, self._stops = _Status.NOT_SERVING, True
        self._tell()

    async def Check(  # noqa: N802  # the proto names it
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The status now."""
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service is named {request.service!r} here")
        return _Status(status=self._status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The status now, and again whenever it changes."""
        del context
        known = request.service in self._services
        while True:
            changed = self._changed
            yield _Status(status=self._status if known else _Status.SERVICE_UNKNOWN)
            if self._stops:
                return
            await changed.wait()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
