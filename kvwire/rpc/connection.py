"""A client's connection to one address of a service."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from kvwire.balancing.breaker import Breaker
from kvwire.balancing.places import Place
from kvwire.errors import StalledError, UnavailableError
from kvwire.rpc.status import error_from_rpc
from kvwire.security import ClientSecurity
from kvwire.v1 import model_service_pb2_grpc


class Connection:
    """Its channel, this client's calls in flight, and its circuit breaker."""

    def __init__(self, place: Place, security: ClientSecurity) -> None:
        self.address = place.address
        self.in_flight = 0
        self.breaker = Breaker(place.address)
        self._channel = security.channel(place.address, place.name)
        self.model = model_service_pb2_grpc.ModelServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Around a call: it is in flight, and how it ends is judged.

        Raises:
            KvwireError: What the call met; :class:`StalledError` if its time was up before there was a connection.
        """
        self.in_flight += 1
        try:
            with self.breaker.judging():
                try:
                    yield
                except grpc.aio.AioRpcError as error:
                    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not self._is_connected():
                        raise StalledError(
                            f"{self.address} could not be reached in the time there was; check that it runs, or allow "
                            "more time"
                        ) from error
                    raise error_from_rpc(error, self.address) from error
                self.breaker.answered()
        finally:
            self.in_flight -= 1

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the service answers, and see that it serves.

        Raises:
            KvwireError: It did not become ready in time.
        """
        try:
            answer = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error, self.address) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise UnavailableError(f"{self.address} answers but does not serve: it is starting or draining; retry")

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)

    def _is_connected(self) -> bool:
        return self._channel.get_state() is grpc.ChannelConnectivity.READY
