"""``kvwire simulate``: what a system of many services would do, from what was measured of one pair."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from kvwire.cli.files import writable
from kvwire.cli.options import JsonOption, save
from kvwire.errors import UnsupportedError


def simulate(
    spec: Annotated[Path, typer.Argument(help="YAML of a system and a load; docs/scale.md says what it may hold")],
    json_file: JsonOption = None,
    plot_file: Annotated[Path | None, typer.Option("--plot", help="also draw it here, SVG", callback=writable)] = None,
) -> None:
    """Simulate a system of sharers, receivers and links at each rate of a spec, by service times that were measured."""
    from rich.console import Console
    from rich.progress import Progress

    if find_spec("simpy") is None:
        raise UnsupportedError("simulations need SimPy, which is not installed here; pip install 'kvwire[simulation]'")
    from simulation.plot import plot
    from simulation.spec import read_spec
    from simulation.summary import summarize
    from simulation.system import System

    planned = read_spec(spec)
    design, loads = planned.design, [planned.requests(rate) for rate in planned.spec.rates]
    runs = list[dict[str, Any]]()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        for rate_rps, requests in zip(planned.spec.rates, loads, strict=True):
            task = bar.add_task(f"{rate_rps:g}/s", total=len(requests))
            run = System(design, planned.times).play(requests, lambda: bar.advance(task))  # noqa: B023  # called in this turn only
            runs.append({"rate_rps": rate_rps, **summarize(run, planned.spec.warm_up_s)})
    print("simulated from what was measured of one pair: " + ", ".join(planned.times.measured.values()))
    for found in runs:
        print(_line(found))
    result = {"spec": planned.spec.model_dump(mode="json"), "measured": planned.times.measured, "runs": runs}
    save(result, json_file)
    if plot_file is not None:
        plot_file.write_text(plot(runs), encoding="utf-8")


def _line(run: dict[str, Any]) -> str:
    """One rate."""
    used, ttft, e2e = run["utilisation"], run["ttft_ms"], run["e2e_ms"]
    if ttft is None:
        return f"{run['rate_rps']:g}/s: all {run['refused']} requests were refused"
    busy = ", ".join(f"{name} {100 * used[name]['mean']:.0f} %" for name in used)
    return (
        f"{run['rate_rps']:g}/s: answered {run['answered_rps']:.3g}/s, refused {run['refused']}, first token p50 "
        f"{ttft['p50']:.0f} and p95 {ttft['p95']:.0f} ms, all p50 {e2e['p50']:.0f} ms; busy: {busy}; busiest link "
        f"{run['link_bytes_per_s']['most'] / 1e6:.3g} MB/s"
    )
