"""The tracer by itself; tests/services/test_tracing.py has its spans, in real services."""

import socket
import time

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from kvwire.otel import OtelTracer
from kvwire.progress import Stretch


def test_a_collector_that_hangs_holds_up_a_stop_for_three_seconds():
    """However many batches wait: here three, for each of which the SDK would wait 10 s."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracer = OtelTracer("sharer", f"http://127.0.0.1:{silent.getsockname()[1]}")
        span = tracer.begin("kvwire.v1.SharerService", "Share", {})
        for layer in range(1200):
            span.listener(Stretch("encode", layer, 0.0, 0.0, 0.0))
        span.end("OK", "", "the-request")
        began_s = time.monotonic()
        tracer.close()
        assert 2.5 < time.monotonic() - began_s < 8.0
