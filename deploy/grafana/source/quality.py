"""Whether answers are sure, and made the way they were asked for."""

from deploy.grafana.source.panels import CODEC, METHOD, Above, Query, Told, board, graph, limited, row, spread, tile
from deploy.grafana.source.queries import OWN_CALLS, mean, or_zero, per_second, quantile, ratio

_NATS = "kvwire_answer_nats"
_MADE = 'path=~"$method", codec=~"$codec"'
_ASKED = 'method=~"$method"'
_HANDLED = "grpc_server_handled_total"
_ANSWERS = "kvwire_answers_total"
_WRONG = '"DATA_LOSS|FAILED_PRECONDITION|UNAVAILABLE|DEADLINE_EXCEEDED|INTERNAL|UNKNOWN"'
_CALLERS = '"INVALID_ARGUMENT|NOT_FOUND|UNAUTHENTICATED|PERMISSION_DENIED"'
_UNSURE = "Mean negative log-likelihood of an answer's tokens: 0 is sure, 1 chooses among some three tokens"


def _status(code: str) -> str:
    """Of the service with more: what ends a sharer's call often ends the receiver's too."""
    ended = per_second(_HANDLED, "job", f'{OWN_CALLS}, grpc_code="{code}"')
    return or_zero(f"max({ended})")


def _as_asked(by: str = "") -> str:
    fallbacks, answers = per_second("kvwire_fallbacks_total", by, _ASKED), per_second(_ANSWERS, by, _ASKED)
    return f"1 - {ratio(f'({fallbacks} or 0 * {answers})', answers)}"


DASHBOARD = board(
    "quality",
    "kvwire: quality and fallbacks",
    "Are answers sure, and made the way they were asked for?",
    (METHOD, CODEC),
    (
        tile(
            Told(
                "Answers as asked",
                "Over 5 minutes, of the worse service. Red, below 95 %: KvwireFallbacks fires.",
                "percentunit",
            ),
            '1 - max(job:kvwire_fallbacks:ratio_rate5m{job=~"$job"})',
            Above(0.95, "green"),
            good="red",
        ).decimals(1),
        tile(
            Told(
                "Fallbacks",
                "Answers per second made another way than asked. Orange: any, for a sharer failed.",
                "reqps",
            ),
            or_zero(per_second("kvwire_fallbacks_total", where=_ASKED)),
            Above(0.001, "orange"),
        ),
        tile(
            Told("Unsureness, p50", f"{_UNSURE}. Generated answers only.", "suffix:nats"),
            quantile(0.5, _NATS, where=_MADE),
        ),
        tile(
            Told("Unsureness, p95", f"{_UNSURE}. Generated answers only.", "suffix:nats"),
            quantile(0.95, _NATS, where=_MADE),
        ),
        tile(
            Told(
                "Damaged streams",
                "Calls per second that ended in DATA_LOSS: bytes came that were not sent. Red: any.",
                "reqps",
            ),
            _status("DATA_LOSS"),
            Above(0.001, "red"),
        ),
        tile(
            Told(
                "Mismatches",
                "FAILED_PRECONDITION per second: models, fusers, tables or releases do not fit. Red: any.",
                "reqps",
            ),
            _status("FAILED_PRECONDITION"),
            Above(0.001, "red"),
        ),
        row("How sure answers are"),
        graph(
            Told(
                "Unsureness p50, by path and codec",
                f"{_UNSURE}. A codec that harms stands above the others.",
                "suffix:nats",
            ),
            Query(quantile(0.5, _NATS, "path, codec", _MADE), "{{path}} {{codec}}"),
        ),
        graph(
            Told("Unsureness p95, by path and codec", f"{_UNSURE}.", "suffix:nats"),
            Query(quantile(0.95, _NATS, "path, codec", _MADE), "{{path}} {{codec}}"),
        ),
        graph(
            Told("Unsureness, mean, by path and codec", f"{_UNSURE}.", "suffix:nats"),
            Query(mean(_NATS, "path, codec", _MADE), "{{path}} {{codec}}"),
        ),
        spread(
            Told("How unsureness spreads", "Answers per second in each bucket of nats per token.", "suffix:nats"),
            per_second(f"{_NATS}_bucket", "le", _MADE),
        ),
        row("Fallbacks"),
        graph(
            Told("Fallbacks, by method and path", "The method that was asked for, and the one that answered.", "reqps"),
            Query(per_second("kvwire_fallbacks_total", "method, path", _ASKED), "{{method}} by {{path}}"),
        ).span(8),
        limited(
            graph(
                Told(
                    "Answers as asked, by method",
                    "The share that was not a fallback; dashed: the alert's 95 %.",
                    "percentunit",
                ),
                Query(_as_asked("method"), "{{method}}"),
            ),
            Above(0.95, "red"),
        )
        .max(1)
        .span(8),
        graph(
            Told("Answers, by path", "Per second, by the method that made them.", "reqps"),
            Query(per_second(_ANSWERS, "path", 'path=~"$method"'), "{{path}}"),
        ).span(8),
        row("Faults"),
        graph(
            Told(
                "Faults by status",
                "Calls per second that a fault ended: damage, mismatch, a sharer out of reach, time that ran out. "
                "A fault that a fallback made good is not among them, for its call ended well.",
                "reqps",
            ),
            Query(per_second(_HANDLED, "job, grpc_code", f"{OWN_CALLS}, grpc_code=~{_WRONG}"), "{{job}} {{grpc_code}}"),
        ),
        graph(
            Told(
                "Requests that cannot be, by status",
                "Unknown codec, sharer or fuser, too long, no token, a call not allowed: the caller's.",
                "reqps",
            ),
            Query(
                per_second(_HANDLED, "job, grpc_code", f"{OWN_CALLS}, grpc_code=~{_CALLERS}"),
                "{{job}} {{grpc_code}}",
            ),
        ),
    ),
)
