"""``kvwire bench``: how the services do beside the same work done without them."""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from kvwire.cli.options import JsonOption, save
from kvwire.errors import InvalidRequestError

#: Ratios within a round of neighbours need so many rounds for a median that holds.
_ROUNDS, _QUICK_ROUNDS = 15, 5
_QUESTIONS, _QUICK_QUESTIONS = 100, 20


def bench(
    model: Annotated[str, typer.Option(help="of both services")] = "smollm2-135m",
    device: Annotated[str, typer.Option(help="of both services and of the same work without them: cpu, cuda")] = "cpu",
    part: Annotated[list[str] | None, typer.Option(help="by name; may be repeated; default: all of them")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="fewer rounds: under ten minutes, and less sure")] = False,
    json_file: JsonOption = None,
) -> None:
    """Measure services against the same work without them; every figure is a ratio taken in one run."""
    from bench.services import in_process, pipelining, prefill_batching, reuse, throughput, wire

    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    questions = _QUICK_QUESTIONS if quick else _QUESTIONS
    parts: dict[str, Callable[[], dict[str, object]]] = {
        "one request": lambda: in_process.measure(model, rounds, device),
        "one request behind links": lambda: pipelining.measure(model, rounds, device),
        "the wire alone": lambda: wire.measure(model, rounds, device),
        "one context, many questions": lambda: reuse.measure(model, questions, device),
        "contexts read together": lambda: prefill_batching.measure(model, rounds, device),
        "many answers at once": lambda: throughput.measure(model, rounds, device),
    }
    for name in part or ():
        if name not in parts:
            raise InvalidRequestError(f"there is no part {name!r}; there are {', '.join(map(repr, parts))}")
    ratios: dict[str, float] = {}
    details: dict[str, object] = {}
    for name in part or parts:
        sys.stderr.write(f"{name} ...\n")
        found = parts[name]()
        ratios |= {key: value for key, value in found.items() if isinstance(value, float)}
        details[name] = {key: value for key, value in found.items() if not isinstance(value, float)}
        # Who stops it keeps what there is.
        save({"model": model, "device": device, **ratios, "details": details}, json_file)
    for name, value in ratios.items():
        sys.stdout.write(f"{name} {value:.3f}\n")
