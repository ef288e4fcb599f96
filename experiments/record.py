"""The lines of ``results.jsonl``: one per item and arm, in the run's order. What the report knows, it knows from here.

Everything but ``measured`` is the same in every run of the same recipe on the same machine.
"""

from dataclasses import asdict
from typing import Any, TypedDict

from kvwire.report import Report


class Bytes(TypedDict):
    """Of one request, by counter; ``values`` is the number of keys and values before pruning."""

    payload: int
    grpc: int
    values: int
    formula: float


class Measured(TypedDict):
    """What the clocks and the kernel said, in milliseconds by this client's clock and bytes of the connection.

    What was asked together with other arms has no times of its own but ``stages_ms``. ``engine`` says where the clock
    stood: on Ray nobody knows what else the machine did meanwhile.
    """

    ttft_ms: float | None
    e2e_ms: float | None
    stages_ms: dict[str, float]
    socket_bytes: int
    socket_isolated: bool
    engine: str


class Record(TypedDict):
    """One item answered by one arm. ``result`` is None and ``error`` says why where it failed."""

    dataset: str
    item: str
    arm: str
    result: dict[str, Any] | None
    error: str | None
    codec: str
    tokens: dict[str, int] | None
    bytes: Bytes | None
    measured: Measured | None


def answered(
    key: tuple[str, str, str],
    result: dict[str, Any],
    report: Report,
    times_s: tuple[float, float] | None,
    engine: str,
) -> Record:
    """The line of an answer; ``times_s`` are those to the first token and to the end, if it was asked by itself."""
    moved = report.bytes
    return Record(
        dataset=key[0],
        item=key[1],
        arm=key[2],
        result=result,
        error=None,
        codec=report.codec,
        tokens=asdict(report.tokens),
        bytes=Bytes(
            payload=moved.payload_bytes, grpc=moved.grpc_bytes, values=moved.values, formula=moved.formula_bytes
        )
        if moved
        else None,
        measured=Measured(
            ttft_ms=1000 * times_s[0] if times_s else None,
            e2e_ms=1000 * times_s[1] if times_s else None,
            stages_ms={f"{stage.side}.{stage.name}": 1000 * stage.seconds for stage in report.stages},
            socket_bytes=moved.socket_bytes if moved else 0,
            socket_isolated=moved.socket_isolated if moved else True,
            engine=engine,
        ),
    )


def failed(key: tuple[str, str, str], error: str) -> Record:
    """The line of an item that this arm could not answer."""
    return Record(
        dataset=key[0],
        item=key[1],
        arm=key[2],
        result=None,
        error=error,
        codec="",
        tokens=None,
        bytes=None,
        measured=None,
    )
