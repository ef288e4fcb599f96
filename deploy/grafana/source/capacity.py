"""How near the services are to their limits, and what they refuse or fail."""

from deploy.grafana.source.panels import METHOD, Above, Query, Told, board, graph, limited, row, tile
from deploy.grafana.source.queries import OWN_CALLS, SIDES, longest_wait_p95, or_zero, per_second, ratio, series, waits

_HANDLED = "grpc_server_handled_total"
_FLIGHT = "kvwire_requests_in_flight"
_LIMIT = "kvwire_requests_in_flight_limit"
_REFUSED = f'{OWN_CALLS}, grpc_code="RESOURCE_EXHAUSTED"'
_FULL = ratio(f"sum by (job) ({series(_FLIGHT)})", f"sum by (job) ({series(_LIMIT)})")

DASHBOARD = board(
    "capacity",
    "kvwire: capacity and errors",
    "How near are the services to their limits, and what do they refuse or fail?",
    (METHOD,),
    (
        tile(
            Told(
                "Places taken",
                "Requests in flight over the limit, of the fuller service. Red: it refuses.",
                "percentunit",
            ),
            f"max({_FULL})",
            Above(0.75, "orange"),
            Above(1, "red"),
        ).max(1),
        tile(
            Told("Answers", "Answers given per second, by receivers and sharers.", "reqps"),
            per_second("kvwire_answers_total", where='method=~"$method"'),
        ),
        tile(
            Told(
                "Wait, p95",
                "Until the compute thread of the slower side was free. Orange, from 1 s: requests queue.",
                "s",
            ),
            longest_wait_p95(),
            Above(1, "orange"),
        ),
        tile(
            Told(
                "Calls failed",
                "Over 5 minutes, not by the caller's fault. Red, above 5 %: KvwireFailures fires.",
                "percentunit",
            ),
            'max(job:grpc_server_failures:ratio_rate5m{job=~"$job"})',
            Above(0.05, "red"),
        ).decimals(1),
        tile(
            Told("Calls refused", "RESOURCE_EXHAUSTED per second. Red: KvwireOverloaded fires if it lasts.", "reqps"),
            or_zero(per_second(_HANDLED, where=_REFUSED)),
            Above(0.001, "red"),
        ),
        tile(
            Told(
                "Services that answer", "Of those Prometheus scrapes. Red, below all: KvwireServiceDown.", "percentunit"
            ),
            f"avg({series('up')})",
            Above(1, "green"),
            good="red",
        ),
        row("Load"),
        graph(
            Told("Requests in flight", "And how many may be (KVWIRE_MAX_IN_FLIGHT); more are refused.", "none"),
            Query(f"sum by (job) ({series(_FLIGHT)})", "{{job}}"),
            Query(f"sum by (job) ({series(_LIMIT)})", "{{job}} limit"),
        ).span(8),
        graph(
            Told("Answers, by method", "Per second, by the method that was asked for.", "reqps"),
            Query(per_second("kvwire_answers_total", "method", 'method=~"$method"'), "{{method}}"),
        ).span(8),
        graph(
            Told(
                "Tokens",
                "Per second: read (head, context, prompt), relayed, filled from caches (slots), generated.",
                "suffix:tok/s",
            ),
            Query(per_second("kvwire_tokens_total", "part"), "{{part}}"),
        ).span(8),
        row("Machine"),
        graph(
            Told("Wait for the compute thread, p95", "One thread computes in a process; the rest waits.", "s"),
            *(Query(waits(0.95, side), side) for side in SIDES),
        ).span(8),
        graph(
            Told("Processor time", "CPU seconds per second of each process: cores it keeps busy.", "suffix:cores"),
            Query(f"rate({series('process_cpu_seconds_total')}[$__rate_interval])", "{{job}} {{instance}}"),
        ).span(8),
        graph(
            Told(
                "Resident memory",
                "Of each process: weights, caches in flight, caches kept for reuse. Below: what requests in flight "
                "have taken for their caches; at KVWIRE_CACHE_MEMORY_BYTES the next ones wait.",
                "bytes",
            ),
            Query(series("process_resident_memory_bytes"), "{{job}} {{instance}}"),
            Query(series("kvwire_cache_memory_bytes"), "{{job}} {{instance}} caches in flight"),
        ).span(8),
        row("Calls"),
        graph(
            Told("Calls by status", "Per second, probes left out; what is not OK says why in its message.", "reqps"),
            Query(per_second(_HANDLED, "job, grpc_code", OWN_CALLS), "{{job}} {{grpc_code}}"),
        ),
        limited(
            graph(
                Told(
                    "Calls failed, over 5 minutes", "Not by the caller's fault; dashed: the alert's 5 %.", "percentunit"
                ),
                Query('job:grpc_server_failures:ratio_rate5m{job=~"$job"}', "{{job}}"),
            ),
            Above(0.05, "red"),
        ),
        graph(
            Told("Calls refused", "RESOURCE_EXHAUSTED: too many in flight, or a cache over the limit.", "reqps"),
            Query(per_second(_HANDLED, "job, grpc_method", _REFUSED), "{{job}} {{grpc_method}}"),
        ),
        graph(
            Told(
                "Messages sent",
                "Per second: tokens and reports by Generate and Score, chunks of caches by Share.",
                "suffix:msg/s",
            ),
            Query(per_second("grpc_server_msg_sent_total", "job, grpc_method", OWN_CALLS), "{{job}} {{grpc_method}}"),
        ),
    ),
)
