"""How long callers wait, and where the time goes."""

from deploy.grafana.source.panels import METHOD, Above, Query, Told, board, graph, limited, row, spread, tile
from deploy.grafana.source.queries import OWN_CALLS, SIDES, longest_wait_p95, mean, per_second, quantile, waits

_METHOD = 'method=~"$method"'
_FIRST = "kvwire_first_token_seconds"
_INTERVAL = "kvwire_token_interval_seconds"
_STAGES = "kvwire_stage_seconds"
_CALLS = "grpc_server_handling_seconds"
_SLOW_S = 10  # the alert KvwireFirstTokenSlow


def _parts(side: str) -> str:
    """The receiver's port shows both sides' stages of an answer; those of the whole are not parts of it."""
    return f'job="receiver", side="{side}", stage!~"first_token|total"'


_TOLD_STAGES = "As told to the receiver's callers, without the first token and the total, which are whole answers"

DASHBOARD = board(
    "latency",
    "kvwire: latency by stage",
    "How long do callers wait, and where does the time go?",
    (METHOD,),
    (
        tile(
            Told("First token, p50", "Half the first tokens come within this time.", "s"),
            quantile(0.5, _FIRST, where=_METHOD),
        ),
        tile(
            Told(
                "First token, p95",
                "From arrival to first token. Red, from 10 s: KvwireFirstTokenSlow fires if it lasts.",
                "s",
            ),
            quantile(0.95, _FIRST, where=_METHOD),
            Above(_SLOW_S, "red"),
        ),
        tile(
            Told("First token, p99", "One first token in a hundred takes longer.", "s"),
            quantile(0.99, _FIRST, where=_METHOD),
        ),
        tile(
            Told(
                "Between tokens, p95", "Mean time between the tokens of an answer; one answer in twenty has more.", "s"
            ),
            quantile(0.95, _INTERVAL, where=_METHOD),
        ),
        tile(
            Told(
                "Wait, p95",
                "Until the compute thread of the slower side was free. Orange, from 1 s: requests queue; see capacity.",
                "s",
            ),
            longest_wait_p95(),
            Above(1, "orange"),
        ),
        tile(
            Told("Whole calls, p95", "Generate, Score and the sharer's Share and Relay, from first to last byte.", "s"),
            quantile(0.95, _CALLS, where=OWN_CALLS),
        ),
        row("First token and those after"),
        limited(
            graph(
                Told("First token", "From a request's arrival; dashed: the alert's 10 s.", "s"),
                *(Query(quantile(q, _FIRST, where=_METHOD), f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)),
            ),
            Above(_SLOW_S, "red"),
        ),
        spread(
            Told("First tokens, how they spread", "Requests in each bucket of time to first token.", "s"),
            per_second(f"{_FIRST}_bucket", "le", _METHOD),
        ),
        graph(
            Told("First token p95, by method", "By the method that was asked for.", "s"),
            Query(quantile(0.95, _FIRST, "method", _METHOD), "{{method}}"),
        ),
        graph(
            Told(
                "Between tokens p95, by method",
                "Mean time between the tokens of an answer; one answer in twenty has more.",
                "s",
            ),
            Query(quantile(0.95, _INTERVAL, "method", _METHOD), "{{method}}"),
        ),
        row("Stages"),
        *(
            panel
            for side in SIDES
            for panel in (
                graph(
                    Told(f"The {side}'s stages, mean", f"{_TOLD_STAGES}.", "s"),
                    Query(mean(_STAGES, "stage", _parts(side)), "{{stage}}"),
                ),
                graph(
                    Told(f"The {side}'s stages, p95", f"{_TOLD_STAGES}.", "s"),
                    Query(quantile(0.95, _STAGES, "stage", _parts(side)), "{{stage}}"),
                ),
            )
        ),
        row("Waits and whole calls"),
        graph(
            Told("Wait for the compute thread, by service", "One thread computes in a process; the rest waits.", "s"),
            *(Query(waits(q, side), f"{side} p{q * 100:.0f}") for side in SIDES for q in (0.5, 0.95)),
        ),
        graph(
            Told("Whole calls p95, by method of gRPC", "From first to last byte, by service; probes left out.", "s"),
            Query(quantile(0.95, _CALLS, "job, grpc_method", OWN_CALLS), "{{job}} {{grpc_method}}"),
        ),
    ),
)
