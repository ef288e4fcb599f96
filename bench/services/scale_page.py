"""Fills the marked places of docs/scale.md: what was measured of a pair, and what is simulated of larger systems.

``python -m bench.services.scale_page FOUND.json TIMES.json PAGE.md``, with the two files that
``bench.services.simulated`` wrote. A place is what stands between ``<!-- NAME -->`` and ``<!-- end -->``.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.services.disturbance import CONTEXT, PROMPT
from bench.services.played import PAIR
from bench.services.scale_runs import RUNS
from bench.services.simulated import WITHIN
from bench.services.stage_points import Points
from kvwire.errors import NotFoundError
from simulation.requests import Request
from simulation.system import System
from simulation.times import ServiceTimes, read_times

#: What stands in a table for each figure that is compared, its factor, and how it is written.
_COMPARED = {
    "answered_rps": ("answers per second", 1, "{:.2f}"),
    "ttft_p50_s": ("first token p50, ms", 1000, "{:.0f}"),
    "ttft_p95_s": ("first token p95, ms", 1000, "{:.0f}"),
    "e2e_p50_s": ("whole answer p50, ms", 1000, "{:.0f}"),
    "e2e_p95_s": ("whole answer p95, ms", 1000, "{:.0f}"),
    "sharer_busy": ("sharer busy, %", 100, "{:.0f}"),
    "receiver_busy": ("receiver busy, %", 100, "{:.0f}"),
}
#: An answer that is still being written when the other request comes.
_WRITTEN, _WRITES_FROM_S = 200, 3.0
_FIGURE = "![Measured and simulated figures over the load; bars are rounds](figures/simulated.svg)"
_CURVES = {
    "sharer: read a pass, by its tokens": ("sharer", "prefill"),
    "sharer: encode a layer, by its tokens": ("sharer", "encode_layer"),
    "receiver: decode a layer, by its tokens": ("receiver", "decode_layer"),
    "receiver: place a layer, by its tokens": ("receiver", "place_layer"),
    "receiver: read prompts, by their tokens": ("receiver", "prompt"),
    "receiver: a step, by the answers in it": ("receiver", "step"),
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown; numbers stand to the right of the first column."""
    rule = "|---|" + "---:|" * (len(head) - 1)
    lines = [" | ".join(("", *row, "")).strip() for row in (head, *rows)]
    return "\n".join((lines[0], rule, *lines[1:]))


def comparison(found: Mapping[str, Any]) -> str:
    """Measured and simulated figures of each load, and whether they lie as close as they must."""
    loads = found["loads"]
    head = ["measured, simulated"]
    head += [f"{100 * each['share_of_capacity']:.0f} %: {each['rate_rps']:.2f}/s" for each in loads]
    rows = []
    for name, (words, factor, shape) in _COMPARED.items():
        cells = [[shape.format(factor * each[kind][name]) for kind in ("measured", "simulated")] for each in loads]
        apart = [each["apart"][name] for each in loads]
        rows.append([words, *(f"{', '.join(both)} ({100 * a:+.0f} %)" for both, a in zip(cells, apart, strict=True))])
    rows.append(["requests, failed", *(f"{each['requests']}, {each['failed']}" for each in loads)])
    missed = too_far(found)
    verdict = f"**Not** within {100 * WITHIN:.0f} %: {', '.join(missed)}." if missed else "All within 15 %."
    return f"{_about(found['measured'])}\n\n{table(head, rows)}\n\n{verdict}\n\n{_FIGURE}"


def too_far(found: Mapping[str, Any]) -> list[str]:
    """Which figures at which loads lie further apart than they may."""
    return [
        f"{_COMPARED[name][0]} at {100 * each['share_of_capacity']:.0f} %"
        for each in found["loads"]
        for name, apart in each["apart"].items()
        if abs(apart) > WITHIN
    ]


def service_times(times: ServiceTimes, misfit: Mapping[str, float], points: Points) -> str:
    """The curves, what happens once for each request, and what becomes of one beside another that is being answered."""
    rows = []
    for words, (side, name) in _CURVES.items():
        curve = getattr(getattr(times, side), name)
        terms = [f"{1000 * term:.3g}" for term in (curve.fixed_s, curve.each_s, curve.square_s)]
        rows.append([words, *terms, f"{100 * misfit[name]:.0f} %"])
    once = {
        "plan": times.sharer.plan_s,
        "open": times.sharer.open_s,
        "tokenize": times.receiver.tokenize_s,
        "first token": times.receiver.first_token_s,
        "a prompt beside another": times.receiver.prompt.sequence_s,
        "coming and going": times.receiver.turnover_s,
        "client's call": times.calls.client_s,
        "sharer's call": times.calls.share_s,
        "a message": times.calls.message_s,
    }
    told = ", ".join(f"{name} {1000 * seconds:.2g}" for name, seconds in once.items())
    return (
        f"{table(['ms', 'fixed', 'each', 'its square', 'worst misfit'], rows)}\n\nOnce, in ms: {told}. Beside each "
        f"other on one machine the sharer takes {times.sharer.slowdown:.2f} and the receiver "
        f"{times.receiver.slowdown:.2f} times as long. A sharer runs ahead of its reader by "
        f"{times.calls.window_bytes / 1e6:.1f} MB.\n\n{_beside(times, points)}"
    )


def _beside(times: ServiceTimes, points: Points) -> str:
    """What no curve was fitted to: the first token of a request that comes while another's answer is written."""
    lone, late = Request(0.0, 0, CONTEXT, PROMPT, 1), Request(_WRITES_FROM_S, 0, CONTEXT, PROMPT, 1)
    writes = Request(0.0, 1, CONTEXT, PROMPT, _WRITTEN)
    simulated = [System(PAIR, times).play(asked).outcomes[-1].first_token_s for asked in ([lone], [writes, late])]
    found = [1000 * points.median(f"ttft_{name}") for name in ("alone", "beside")]
    alone, beside = (1000 * (each or 0.0) for each in simulated)
    return (
        f"A request of {CONTEXT} tokens of context had its first token after {found[0]:.0f} ms alone and after "
        f"{found[1]:.0f} beside one whose answer was being written; simulated: {alone:.0f} and {beside:.0f} ms."
    )


def filled(page: str, places: Mapping[str, str]) -> str:
    """The page with what belongs between its marks.

    Raises:
        NotFoundError: The page has no such place.
    """
    for name, text in places.items():
        page, found = re.subn(
            rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)",
            lambda match, text=text: f"{match[1]}{text}\n{match[2]}",  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
        if not found:
            raise NotFoundError(f"the page has no place for {name!r}; write <!-- {name} --> and <!-- end -->")
    return page


def _about(measured: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in measured.items()) + "."


def main(
    found_file: Annotated[Path, typer.Argument(help="JSON of bench.services.simulated")],
    times_file: Annotated[Path, typer.Argument(help="its service times")],
    page_file: Annotated[Path, typer.Argument(help="Markdown with marked places")],
) -> None:
    """Fill the page; larger systems are simulated only if the simulation of the pair was right."""
    times, found = read_times(times_file), json.loads(found_file.read_text(encoding="utf-8"))
    measured = json.loads(times_file.read_text(encoding="utf-8"))
    points = Points({name: [(count, seconds) for count, seconds in each] for name, each in measured["points"].items()})
    told = service_times(times, measured["worst_misfit"], points)
    places = {"service times": told, "comparison": comparison(found)}
    for name, run in RUNS.items():
        if too_far(found):
            places[name] = "**Not simulated**: what is wrong about a pair is wrong about many."
            continue
        sys.stderr.write(f"simulating {name}\n")
        places[name] = table(*run(times, found["capacity_rps"]))
    page_file.write_text(filled(page_file.read_text(encoding="utf-8"), places), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
