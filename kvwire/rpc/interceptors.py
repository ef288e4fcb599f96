"""What every call passes through: the door, counting, and turning errors into gRPC statuses."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NoReturn

import grpc

from kvwire.callers.door import Door, Shown, calling
from kvwire.errors import KvwireError
from kvwire.logs import request_id
from kvwire.progress import listener
from kvwire.rpc.context import Context, ServerInterceptor
from kvwire.rpc.in_flight import InFlight
from kvwire.rpc.sizes import size_of
from kvwire.rpc.status import status_of
from kvwire.telemetry import Metrics
from kvwire.tracing import Span, Tracer, span

_log = logging.getLogger(__name__)

# A probe must be able to ask for health without a secret, and as often as it likes.
_OPEN_SERVICES = frozenset({"grpc.health.v1.Health"})

# How the gRPC ecosystem's metrics call each form of request and answer.
_KINDS = {
    ("unary", "unary"): "unary",
    ("unary", "stream"): "server_stream",
    ("stream", "unary"): "client_stream",
    ("stream", "stream"): "bidi_stream",
}

# Where gRPC tells the names of a certificate: subjectAltName, then the subject's common name.
_NAMES = ("x509_subject_alternative_name", "x509_common_name")

Enter = Callable[[Any, Context], AbstractContextManager[None]]
Handler = Any  # grpc.RpcMethodHandler; grpc-stubs types neither its fields nor the aio variant


class Gate(ServerInterceptor):
    """Lets callers in, counts, and maps errors, for unary and streaming answers alike."""

    def __init__(self, metrics: Metrics, door: Door, tracer: Tracer, calls: InFlight) -> None:
        self._metrics = metrics
        self._door = door
        self._tracer = tracer
        self._calls = calls

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Wrap the handler of one call."""
        handler = await continuation(details)
        if handler is None:
            return handler
        service, _, method = details.method.lstrip("/").rpartition("/")
        form = ("stream" if handler.request_streaming else "unary", "stream" if handler.response_streaming else "unary")
        call = _Call(self._metrics, self._tracer, service, method, _KINDS[form])
        enter = _open if service in _OPEN_SERVICES else partial(_entered, self._calls, self._door, method)
        plain = getattr(handler, "_".join(form))
        wrapped = _streaming(plain, call, enter) if handler.response_streaming else _unary(plain, call, enter)
        made = getattr(grpc, f"{'_'.join(form)}_rpc_method_handler")
        return made(wrapped, handler.request_deserializer, handler.response_serializer)


class _Call:
    """Counts one call from start to end."""

    def __init__(self, metrics: Metrics, tracer: Tracer, service: str, method: str, kind: str) -> None:
        self._metrics = metrics.calls
        self._tracer = tracer
        self._span: Span | None = None
        self._labels = (kind, service, method)
        self._started = time.perf_counter()
        self.sent = 0
        metrics.calls.started.labels(*self._labels).inc()

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
        self._metrics.messages_sent.labels(*self._labels).inc(self.sent)
        seconds = time.perf_counter() - self._started
        self._metrics.handled.labels(*self._labels, code).inc()
        self._metrics.seconds.labels(*self._labels).observe(seconds)
        _, service, method = self._labels
        if self._span is not None:
            self._span.end(code, why, request_id.get())
        if service not in _OPEN_SERVICES:
            who = calling.get() and f" for caller {calling.get()}"
            _log.info("%s/%s: %s after %.3f s%s%s", service, method, code, seconds, who, why and f": {why}")

    async def failed(self, error: BaseException, context: Context) -> NoReturn:
        """Count a failure and end the call with its status."""
        if isinstance(error, KvwireError):
            self.ended(error.status, str(error))
            await context.abort(grpc.StatusCode[error.status], str(error))
        if isinstance(error, asyncio.CancelledError):
            self.ended("CANCELLED")
            raise error
        if isinstance(error, grpc.aio.AbortError):
            self.ended(context.code().name)
            raise error
        self.ended("INTERNAL")
        _log.error("unexpected error in %s", "/".join(self._labels[1:]), exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, status_of(error)[1])


def _open(request: Any, context: Context) -> AbstractContextManager[None]:
    """Let anybody in."""
    del request, context
    return nullcontext()


@contextmanager
def _entered(calls: InFlight, door: Door, method: str, request: Any, context: Context) -> Iterator[None]:
    """See who calls, tell the task that answers, and hold the caller's place until the call ends."""
    calls.begin(context)
    said = dict(context.invocation_metadata() or ()).get("authorization")
    caller = door.who(Shown(said if isinstance(said, str) else None, _names(context)))
    calling.set(caller.name)
    with door.admitted(caller, method, size_of(request)):
        yield


def _names(context: Context) -> list[str]:
    """In the certificate that the caller showed, which TLS has checked; gRPC takes the first for the identity."""
    shown = context.auth_context() or {}
    return [name.decode(errors="replace") for field in _NAMES for name in shown.get(field, ())]


def _unary(
    handler: Callable[[Any, Context], Awaitable[Any]], call: _Call, enter: Enter
) -> Callable[[Any, Context], Awaitable[Any]]:
    async def wrapped(request: Any, context: Context) -> Any:
        call.trace(context)
        try:
            with enter(request, context):
                answer = await handler(request, context)
        except BaseException as error:  # noqa: BLE001  # every way a call can end is counted and given a status
            await call.failed(error, context)
        call.sent = 1
        call.ended("OK")
        return answer

    return wrapped


def _streaming(
    handler: Callable[[Any, Context], AsyncIterator[Any]], call: _Call, enter: Enter
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    async def wrapped(request: Any, context: Context) -> AsyncIterator[Any]:
        call.trace(context)
        try:
            with enter(request, context):
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
