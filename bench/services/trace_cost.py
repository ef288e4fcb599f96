"""What traces cost: CPU seconds per request of a pair that sends them to a collector, and of one that does not.

``python -m bench.services.trace_cost``. Both pairs run for the whole time and are asked by turns. Spans are sent in
batches, seconds after their call; a turn ends once its last ones are.
"""

import json
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import typer

from bench.services.collector import running_collector
from bench.services.overhead import (
    DEFAULT_PAIR,
    Asking,
    CodecOption,
    JsonOption,
    PairOption,
    RequestsOption,
    RoundsOption,
    by_turns,
    pair_of,
)
from kvwire.processes import Pair

#: OpenTelemetry's own interval between batches is 5 s (OTEL_BSP_SCHEDULE_DELAY).
_SENT_AFTER_S = 6.0


def main(
    pair: PairOption = DEFAULT_PAIR,
    rounds: RoundsOption = 15,
    requests: RequestsOption = 30,
    codec: CodecOption = "int8",
    json_file: JsonOption = None,
) -> None:
    """Ask both by turns and print the ratio of their CPU seconds per request."""
    models = Pair.parse(pair)
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
        endpoint = ("--otlp-endpoint", stack.enter_context(running_collector()).address)
        traced = stack.enter_context(pair_of("{}_service", models, "info", folders[0], *endpoint))
        plain = stack.enter_context(pair_of("{}_service", models, "info", folders[1]))
        ratio = by_turns(traced, plain, Asking(rounds, requests, codec, _SENT_AFTER_S))
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(ratio), indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
