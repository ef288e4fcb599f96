"""Shows summaries of runs side by side."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_COLUMNS = (
    "run",
    "accuracy",
    "95 %\ninterval",
    "margin",
    "bytes per\nrequest",
    "bits per\nvalue",
    "TTFT\np50",
    "TTFT\np95",
    "end to end\np50",
)


# Columns the table needs; a terminal or a log file that claims fewer wraps lines instead of losing numbers.
_WIDTH = 132


def show(title: str, runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """Print one row per run; milliseconds for times, nats per token for the margin."""
    console = Console()
    console.width = max(console.width, _WIDTH)
    console.print(_table(title, runs))
    for name, run in runs:
        if set(run["paths"]) - {run["configuration"]["plan"]["exchange"]["method"]}:
            ways = ", ".join(f"{count} by {path}" for path, count in run["paths"].items())
            console.print(f"{name}: answered {ways}")
        if len(run["answered_at"]) > 1:
            shares = ", ".join(f"{count} at {address}" for address, count in sorted(run["answered_at"].items()))
            console.print(f"{name}: answered {shares}")


def show_load(run: dict[str, Any]) -> None:
    """Print what only an open loop knows; milliseconds for times."""
    lag, goodput = run["scheduler_lag_ms"], run["goodput"]
    if "capacity_rps" in run:
        Console().print(f"capacity {run['capacity_rps']:.2f}/s, found with {len(run['probes'])} runs; at that rate:")
    Console().print(
        f"offered {run['offered_rps']:.2f}/s, answered {run['answered_rps']:.2f}/s, goodput {goodput['rps']:.2f}/s; "
        f"TTFT p99 {_milliseconds(run['ttft_ms'], 'p99')}, the tester's own lag p99 {lag['p99']:.1f} ms: "
        + ("valid" if run["valid"] else "NOT VALID, the tester was late; give it more --processes or a core of its own")
    )


def _table(title: str, runs: Sequence[tuple[str, dict[str, Any]]]) -> Table:
    sources = sorted({run["wire_bytes_source"] for _, run in runs if run["wire_bytes_per_request"]})
    made = Table(title=title, caption="; ".join([_MARGIN, *(f"bytes: {source}" for source in sources)]))
    for index, column in enumerate(_COLUMNS):
        made.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for name, run in runs:
        low, high = run["accuracy_ci95"]
        made.add_row(
            name,
            f"{100 * run['accuracy']:.1f} %",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            _or_dash(run["margin_mean"], "{:+.2f}"),
            f"{run['wire_bytes_per_request']:,.0f}",
            _or_dash(run["bits_per_value"], "{:.2f}"),
            _milliseconds(run["ttft_ms"], "p50"),
            _milliseconds(run["ttft_ms"], "p95"),
            _milliseconds(run["e2e_ms"], "p50"),
        )
    return made


_MARGIN = "margin: log-likelihood per token of the right choice minus the best wrong one"


def _milliseconds(percentiles: dict[str, float] | None, which: str) -> str:
    return "-" if percentiles is None else f"{percentiles[which]:.0f} ms"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)
