"""Sums a run up: accuracy against bytes and latency, as a plain dictionary that JSON can hold."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from kvwire.model_card import Description
from kvwire.report import Report
from loadtest.driver import Outcome, Plan
from loadtest.intervals import percentiles_ms, wilson95
from loadtest.scoring import margin


def summarize(
    configuration: dict[str, Any], plan: Plan, services: dict[str, Description], outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """The result of a run.

    Failed items stay in the denominator of ``accuracy``. Latencies in milliseconds by the client's clock, over the
    items that succeeded. Bytes per request are means over those too: one that sent nothing counts, with none.
    ``wire_bytes_per_request`` is of the kernel's socket counters, both directions, where every request was alone on its
    connection, else of the serialized gRPC messages; ``wire_bytes_source`` says which.
    """
    right = sum(o.result.right for o in outcomes)
    answered = [o for o in outcomes if o.result.error is None]
    margins = [margin(o.result.scores, o.result.answer) for o in answered if o.result.scores]
    interval = wilson95(right, len(outcomes))
    return {
        "accuracy": right / len(outcomes),
        "accuracy_ci95": list(interval),
        "items": len(outcomes),
        "right": right,
        "failed": len(outcomes) - len(answered),
        "margin_mean": fmean(margins) if margins else None,
        **_bytes(answered),
        "ttft_ms": percentiles_ms([o.first_token_s for o in answered]),
        "e2e_ms": percentiles_ms([o.total_s for o in answered]),
        "stages_mean_ms": _stages(answered),
        "paths": _paths(answered),
        "answered_at": dict(Counter(o.report.answered_at for o in answered if o.report is not None)),
        "sharer_tries": sum(o.report.tries for o in answered if o.report is not None),
        "configuration": {**configuration, "plan": asdict(plan)},
        "models": {name: model_facts(d) for name, d in services.items()},
        "per_item": [item_line(o) for o in outcomes],
    }


def model_facts(description: Description) -> dict[str, Any]:
    """What a reader needs to know which model ran."""
    card = description.card
    return {
        "id": card.binding.id,
        "revision": card.binding.revision,
        "weights_sha256": card.binding.weights_fingerprint.hex(),
        "tokenizer_sha256": card.binding.tokenizer_fingerprint.hex(),
        "weight_format": card.weight_format,
        "compute_dtype": card.compute_dtype,
        "device": card.device,
        "layers": len(card.layers),
        "kv_heads": card.kv_heads,
        "head_dim": card.head_dim,
        "software": description.software,
    }


def _bytes(answered: Sequence[Outcome]) -> dict[str, Any]:
    moved = [o.report.bytes for o in answered if o.report is not None and o.report.bytes is not None]
    if not moved:
        return {"wire_bytes_per_request": 0, "wire_bytes_source": "nothing was sent", "bits_per_value": None}
    isolated = all(b.socket_isolated for b in moved)
    values, payload = sum(b.values for b in moved), sum(b.payload_bytes for b in moved)
    wire = sum(b.socket_bytes if isolated else b.grpc_bytes for b in moved)
    return {
        "wire_bytes_per_request": wire / len(answered),
        "wire_bytes_source": "socket (TCP_INFO)" if isolated else "grpc messages; requests shared a connection",
        "payload_bytes_per_request": payload / len(answered),
        "grpc_bytes_per_request": sum(b.grpc_bytes for b in moved) / len(answered),
        "formula_bytes_per_request": sum(b.formula_bytes for b in moved) / len(answered),
        "bits_per_value": 8 * payload / values if values else None,
    }


def _stages(answered: Sequence[Outcome]) -> dict[str, float]:
    total: dict[str, float] = {}
    for outcome in answered:
        for stage in outcome.report.stages if outcome.report else ():
            name = f"{stage.side}.{stage.name}"
            total[name] = total.get(name, 0.0) + 1000 * stage.seconds
    return {name: milliseconds / len(answered) for name, milliseconds in total.items()}


def _paths(answered: Sequence[Outcome]) -> dict[str, int]:
    """How many answers each way made; one made from less of a cache than was to come is a way of its own."""
    return dict(Counter(_path(o.report) for o in answered if o.report is not None))


def _path(report: Report) -> str:
    return f"{report.path} (partial)" if report.partial else report.path.value


def item_line(outcome: Outcome) -> dict[str, Any]:
    """One item: what was answered, and what it cost."""
    result, report = outcome.result, outcome.report
    return {
        "id": result.id,
        "answer": result.answer,
        "decision": result.decision,
        "right": result.right,
        "error": result.error,
        "reply": result.reply,
        "loglik": [
            {"sum": s.sum_logprob, "mean": s.mean, "per_character": s.per_character, "tokens": s.tokens}
            for s in result.scores
        ],
        "ttft_ms": 1000 * outcome.first_token_s,
        "e2e_ms": 1000 * outcome.total_s,
        "request_id": report.request_id if report else None,
        "path": report.path.value if report else None,
        "reason": report.reason if report else None,
        "answered_at": report.answered_at if report else None,
        "tries": report.tries if report else None,
        "sharer_addresses": report.sharer_addresses if report else None,
        "layers_came": report.layers_came if report else None,
        "layers_needed": report.layers_needed if report else None,
        "tokens": asdict(report.tokens) if report else None,
        "bytes": asdict(report.bytes) if report and report.bytes else None,
        "stages_ms": {f"{s.side}.{s.name}": 1000 * s.seconds for s in report.stages} if report else None,
    }
