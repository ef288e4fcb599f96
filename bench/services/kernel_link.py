"""Time to first token behind a ``kvwire link``, over that behind the kernel's own link of the same rate, by turns.

Two sharers, one on a host of its own behind token bucket filters; takes root and iproute2.
``python -m bench.services.kernel_link``.
"""

import asyncio
import json
import sys
from contextlib import ExitStack
from typing import Annotated

import numpy as np
import typer

from bench.services.facts import facts
from bench.services.pipelining import asked, cases
from kvwire.link.kernel import kernel_link
from kvwire.link.shape import Shape
from kvwire.processes import Pair, running_link, running_pair, running_service

#: Some 512 of SmolLM2's tokens, and a link as slow as the sharer's prefill, and three times as slow.
_CHARACTERS = 2150
_RATIOS = (1.0, 3.0)


def measure(model: str, rounds: int, threads: int = 2) -> list[dict[str, float]]:
    """For each link: medians in seconds, and the median of ratios of neighbours."""
    common, found = ["--threads", str(threads), "--log-level", "warning"], []
    context = facts(_CHARACTERS)
    with running_pair(Pair(model, model), common) as (_, direct):
        known = cases(direct.address, context, _RATIOS)
    for case in known:
        shape = Shape(case.rate_bytes_s)
        with ExitStack() as stack:
            host = stack.enter_context(kernel_link(shape))
            own = [*common, "--model", model, "--metrics-listen", "127.0.0.1:0"]
            here, there = (
                stack.enter_context(running_service("sharer_service", [*own, "--listen", f"{at}:0"], None, inside))
                for at, inside in (("127.0.0.1", ()), (host.address, host.inside))
            )
            relay = stack.enter_context(running_link(here.address, shape))
            sharers = ["--sharers", f"relay={relay.address}", "--sharers", f"kernel={there.address}"]
            arguments = [*own, "--listen", "127.0.0.1:0", *sharers]
            receiver = stack.enter_context(running_service("receiver_service", arguments))
            times = [
                [asyncio.run(asked(receiver.address, context, name)).first_token_s for name in ("relay", "kernel")]
                for _ in range(rounds + 1)
            ][1:]  # the first round opens connections and faults memory in
        relays, kernels = np.median(times, axis=0)
        ratio = float(np.median([one / other for one, other in times]))
        found.append(
            {
                "wire_over_prefill": case.wire_over_prefill,
                "rate_bytes_s": case.rate_bytes_s,
                "relay_s": float(relays),
                "kernel_s": float(kernels),
                "relay_over_kernel": ratio,
            }
        )
    return found


def main(
    model: Annotated[str, typer.Option(help="of all services")] = "smollm2-135m",
    rounds: Annotated[int, typer.Option(min=1)] = 15,
) -> None:
    """Print what was found as JSON."""
    sys.stdout.write(json.dumps(measure(model, rounds), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
