"""Reports as JSON: numbers and names, never a text of a prompt or an answer."""

from typing import Any

from kvwire.recent import Ended, Failure
from kvwire.report import ByteCounts, Report


def ended_facts(ended: Ended) -> dict[str, Any]:
    """One line of the latest requests; ``ended_at_s`` in seconds since 1970."""
    when = {"number": ended.number, "ended_at_s": ended.ended_at_s}
    if isinstance(ended.outcome, Failure):
        failure = ended.outcome
        error = {"status": failure.code, "message": failure.why}
        return when | {"request_id": failure.request_id, "method": failure.method, "error": error}
    return when | report_facts(ended.outcome)


def report_facts(report: Report) -> dict[str, Any]:
    """One answer: durations in seconds; ``socket_bytes`` is null where others shared the connection."""
    return {
        "request_id": report.request_id,
        "method": report.method,
        "path": report.path,
        "reason": report.reason,
        "codec": report.codec,
        "fuser": report.fuser,
        "sharer_model": report.sharer_model,
        "answering_model": report.answering_model,
        "tries": report.tries,
        "sharer_addresses": report.sharer_addresses,
        "layers_needed": report.layers_needed,
        "layers_came": report.layers_came,
        "bytes": None if report.bytes is None else _bytes(report.bytes),
        "tokens": vars(report.tokens),
        "stages": [vars(stage) for stage in report.stages],
        "first_token_s": report.stage_s("first_token"),
        "total_s": report.stage_s("total"),
    }


def _bytes(moved: ByteCounts) -> dict[str, Any]:
    return {
        "payload_bytes": moved.payload_bytes,
        "grpc_bytes": moved.grpc_bytes,
        "socket_bytes": moved.socket_bytes if moved.socket_isolated else None,
        "values": moved.values,
        "bits_per_value": moved.bits_per_value,
    }
