"""What every call passes through: authorization, counting, and turning errors into gRPC statuses."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from kvwire.errors import KvwireError
from kvwire.logs import request_id
from kvwire.progress import listener
from kvwire.rpc.context import Context, ServerInterceptor
from kvwire.rpc.status import status_of
from kvwire.security import check_token
from kvwire.telemetry import Metrics
from kvwire.tracing import Span, Tracer, span

_log = logging.getLogger(__name__)

# A probe must be able to ask for health without a secret.
_OPEN_SERVICES = frozenset({"grpc.health.v1.Health"})

Handler = Any  # grpc.RpcMethodHandler; grpc-stubs types neither its fields nor the aio variant


class Gate(ServerInterceptor):
    """Checks the token, counts, and maps errors, for unary and streaming answers alike."""

    def __init__(self, metrics: Metrics, token: str | None, tracer: Tracer) -> None:
        self._metrics = metrics
        self._token = token
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of one call."""
        handler = await continuation(details)
        if handler is None or handler.request_streaming:
            return handler
        service, _, method = details.method.lstrip("/").rpartition("/")
        kind = "server_stream" if handler.response_streaming else "unary"
        call = _Call(self._metrics, self._tracer, service, method, kind)
        token = None if service in _OPEN_SERVICES else self._token
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, call, token),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            _unary(handler.unary_unary, call, token),
            handler.request_deserializer,
            handler.response_serializer,
        )


class _Call:
    """Counts one call from start to end."""

    def __init__(self, metrics: Metrics, tracer: Tracer, service: str, method: str, kind: str) -> None:
        self._metrics = metrics
        self._tracer = tracer
        self._span: Span | None = None
        self._labels = (kind, service, method)
        self._started = time.perf_counter()
        self.sent = 0
        metrics.rpcs_started.labels(*self._labels).inc()

    def trace(self, context: Context) -> None:
        """Begin a span, unless it is a health probe; stages of the running task are told to it."""
        _, service, method = self._labels
        if service in _OPEN_SERVICES:
            return
        said = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        self._span = self._tracer.begin(service, method, said)
        span.set(self._span)
        listener.set(self._span.listener)

    def ended(self, code: str, why: str = "") -> None:
        """Count the end and the messages that were sent, and log it but for health probes."""
        self._metrics.rpc_messages_sent.labels(*self._labels).inc(self.sent)
        seconds = time.perf_counter() - self._started
        self._metrics.rpcs_handled.labels(*self._labels, code).inc()
        self._metrics.rpc_seconds.labels(*self._labels).observe(seconds)
        _, service, method = self._labels
        if self._span is not None:
            self._span.end(code, why, request_id.get())
        if service not in _OPEN_SERVICES:
            _log.info("%s/%s: %s after %.3f s%s", service, method, code, seconds, why and f": {why}")

    async def failed(self, error: BaseException, context: Context) -> NoReturn:
        """Count a failure and end the call with its status."""
        if isinstance(error, KvwireError):
            self.ended(error.status, str(error))
            await context.abort(grpc.StatusCode[error.status], str(error))
        if isinstance(error, asyncio.CancelledError):
            self.ended("CANCELLED")
            raise error
        if isinstance(error, grpc.aio.AbortError):
            self.ended(str(context.code()))
            raise error
        self.ended("INTERNAL")
        _log.error("unexpected error in %s", "/".join(self._labels[1:]), exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, status_of(error)[1])


def _authorize(context: Context, token: str | None) -> None:
    if token is not None:
        sent = dict(context.invocation_metadata() or ())
        value = sent.get("authorization")
        check_token(token, value if isinstance(value, str) else None)


def _unary(
    handler: Callable[[Any, Context], Awaitable[Any]], call: _Call, token: str | None
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def wrapped(request: Any, context: Context) -> Any:
        call.trace(context)
        try:
            _authorize(context, token)
            answer = await handler(request, context)
        except BaseException as error:  # noqa: BLE001  # every way a call can end is counted and given a status
            await call.failed(error, context)
        call.sent = 1
        call.ended("OK")
        return answer

    return wrapped


def _streaming(
    handler: Callable[[Any, Context], AsyncIterator[Any]], call: _Call, token: str | None
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def wrapped(request: Any, context: Context) -> AsyncIterator[Any]:
        call.trace(context)
        try:
            _authorize(context, token)
            async for answer in handler(request, context):
                call.sent += 1
                yield answer
        except GeneratorExit:
            call.ended("CANCELLED")
            raise
        except BaseException as error:  # noqa: BLE001  # every way a call can end is counted and given a status
            await call.failed(error, context)
        call.ended("OK")

    return wrapped
