"""Prometheus metrics. Counting happens once per request or stream, never per layer or token.

Names follow Prometheus' rules; the ``grpc_server_*`` family uses the conventional names of the gRPC ecosystem.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, make_wsgi_app

from kvwire import __version__
from kvwire.heap import HeapCollector
from kvwire.http_server import Route
from kvwire.known import known_of
from kvwire.recent import Recent
from kvwire.report import ByteCounts, Report, StageTiming
from kvwire.requests import Method, RequestInfo

# Seconds; from one decoding step of a small model to a long prefill on a CPU.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# Nats per token; 0.01 is a model that is sure, 5 one that guesses among hundreds of tokens.
_NATS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0)


class _Registry(CollectorRegistry):
    """A registry, and the kinds of metrics that are made in it."""

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self)

    def histogram(self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
        return Histogram(name, text, labels, buckets=buckets, registry=self)


class CallMetrics:
    """Of calls, whatever they are about."""

    def __init__(self, made: _Registry) -> None:
        call = ("grpc_type", "grpc_service", "grpc_method")
        self.started = made.counter("grpc_server_started", "RPCs started.", *call)
        self.handled = made.counter("grpc_server_handled", "RPCs ended.", *call, "grpc_code")
        self.seconds = made.histogram("grpc_server_handling_seconds", "Duration of RPCs.", *call)
        self.messages_sent = made.counter("grpc_server_msg_sent", "Messages sent.", *call)


class Metrics:
    """All metrics of one service, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self.registry = made = _Registry()
        self.recent = Recent()
        self.calls = CallMetrics(made)
        self.in_flight = made.gauge("kvwire_requests_in_flight", "Requests being answered.")
        self.in_flight_limit = made.gauge("kvwire_requests_in_flight_limit", "Requests answered at once at most.")
        self.cache_bytes = made.gauge("kvwire_cache_memory_bytes", "Taken for caches of requests in flight.")
        self.cache_limit_bytes = made.gauge("kvwire_cache_memory_limit_bytes", "That may be taken for them.")
        self.answers = made.counter("kvwire_answers", "Answers given.", "method", "path")
        self.fallbacks = made.counter(
            "kvwire_fallbacks", "Answers made another way because the sharer failed.", "method", "path"
        )
        self.partial_answers = made.counter(
            "kvwire_partial_answers", "Answers made from less of a cache than was to come.", "method"
        )
        self.failures = made.counter("kvwire_failures", "Requests that got no answer.", "method", "code")
        where = ("sharer", "address")
        self.sharer_calls = made.counter(
            "kvwire_sharer_calls", "Calls of sharers, those that were tried again included.", *where, "code"
        )
        self.sharer_breaker = made.gauge(
            "kvwire_sharer_breaker", "Circuit breaker: 0 closed, 1 probing, 2 open.", *where
        )
        self.first_token_seconds = made.histogram(
            "kvwire_first_token_seconds", "From a request's arrival to its first token.", "method"
        )
        self.token_interval_seconds = made.histogram(
            "kvwire_token_interval_seconds", "Mean time between the tokens of an answer.", "method"
        )
        self.stage_seconds = made.histogram("kvwire_stage_seconds", "Duration of stages.", "stage", "side")
        self.answer_nats = made.histogram(
            "kvwire_answer_nats",
            "How unsure answers were: the mean negative log-likelihood of an answer's tokens, in nats.",
            *("path", "codec"),
            buckets=_NATS,
        )
        self.tokens = made.counter("kvwire_tokens", "Tokens read or made.", "part")
        sent = ("method", "codec")
        self.wire_bytes = made.counter("kvwire_wire_bytes", "Bytes between sharer and receiver.", "counter", *sent)
        self.wire_values = made.counter("kvwire_wire_values", "Key and value numbers before compression.", *sent)
        self.held = made.counter("kvwire_held", "Answers from a cache the receiver held already.", *sent)
        self.held_bytes = made.counter("kvwire_held_bytes", "Bytes not sent for that reason.", *sent)
        self.shared_bytes = made.counter("kvwire_shared_bytes", "Frame bytes streamed by this sharer.", "codec")
        self.shared_values = made.counter("kvwire_shared_values", "Numbers streamed before compression.", "codec")
        self.contexts = made.counter(
            "kvwire_contexts", "Contexts this sharer was asked for, by what was there of them already.", "known"
        )
        ProcessCollector(registry=made)
        made.register(HeapCollector())
        Info("kvwire_build", "What runs.", registry=made).info({"version": __version__, "service": service})

    def count(self, report: Report, codec_base: str, answer_nats: float | None = None) -> None:
        """Count one finished answer.

        ``codec_base`` is the spec's base alone, so that label values stay bounded; ``answer_nats`` is of answers that
        were generated.
        """
        self.recent.answered(report)
        method, path = report.method.value, report.path.value
        self.answers.labels(method, path).inc()
        if report.fell_back:
            self.fallbacks.labels(method, path).inc()
        if report.partial:
            self.partial_answers.labels(method).inc()
        for stage in report.stages:
            self.stage_seconds.labels(stage.name, stage.side).observe(stage.seconds)
        first_s, total_s = report.stage_s("first_token"), report.stage_s("total")
        if first_s is not None:
            self.first_token_seconds.labels(method).observe(first_s)
        if answer_nats is not None:
            self.answer_nats.labels(path, codec_base).observe(answer_nats)
            if first_s is not None and total_s is not None and report.tokens.generated > 1:
                self.token_interval_seconds.labels(method).observe((total_s - first_s) / (report.tokens.generated - 1))
        for part, number in vars(report.tokens).items():
            self.tokens.labels(part).inc(number)
        if report.bytes is not None:
            self._count_bytes(report.bytes, path, codec_base)

    def _count_bytes(self, moved: ByteCounts, path: str, codec_base: str) -> None:
        for counter in ("payload_bytes", "grpc_bytes"):
            self.wire_bytes.labels(counter.removesuffix("_bytes"), path, codec_base).inc(getattr(moved, counter))
        if moved.socket_isolated:
            self.wire_bytes.labels("socket", path, codec_base).inc(moved.socket_bytes)
        self.wire_values.labels(path, codec_base).inc(moved.values)
        for spared in moved.spared:
            if spared.what == "held":
                self.held.labels(path, codec_base).inc()
                self.held_bytes.labels(path, codec_base).inc(spared.bytes)

    def count_failure(self, info: RequestInfo, method: Method, code: str, why: str) -> None:
        """Count a request that ended without an answer, by the name of its gRPC status."""
        self.failures.labels(method.value, code).inc()
        self.recent.failed(info, method, code, why)

    def count_share(self, codec_base: str, payload_bytes: int, values: int, stages: tuple[StageTiming, ...]) -> None:
        """Count one cache stream on the sharer."""
        self.shared_bytes.labels(codec_base).inc(payload_bytes)
        self.shared_values.labels(codec_base).inc(values)
        self.contexts.labels(known_of(payload_bytes, stages).name.lower()).inc()
        for stage in stages:
            self.stage_seconds.labels(stage.name, stage.side).observe(stage.seconds)

    def route(self) -> Route:
        """What answers Prometheus over HTTP."""
        return Route(make_wsgi_app(self.registry))
