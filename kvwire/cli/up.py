"""``kvwire up``: a sharer and a receiver on this machine, until Ctrl-C."""

import json
import sys
from typing import Annotated

import typer

from kvwire.cli.options import DEFAULT_PAIR, FusersOption, JsonOption, PairOption, fusers_arguments


def up(
    pair: PairOption = DEFAULT_PAIR,
    sharer_listen: Annotated[str, typer.Option(help="host:port of the sharer")] = "127.0.0.1:50051",
    receiver_listen: Annotated[str, typer.Option(help="host:port of the receiver")] = "127.0.0.1:50052",
    sharer_metrics: Annotated[str, typer.Option(help="host:port of the sharer's metrics")] = "127.0.0.1:9101",
    receiver_metrics: Annotated[str, typer.Option(help="host:port of the receiver's metrics")] = "127.0.0.1:9102",
    fusers: FusersOption = None,
    json_file: JsonOption = None,
) -> None:
    """Start a sharer and a receiver and keep them running until Ctrl-C."""
    from kvwire.processes import Pair, running_service, wait_until_one_ends

    models = Pair.parse(pair)
    sharer_arguments = [
        *models.sharer_arguments,
        *fusers_arguments(fusers),
        "--listen",
        sharer_listen,
        "--metrics-listen",
        sharer_metrics,
    ]
    with running_service("sharer_service", sharer_arguments) as sharer:
        receiver_arguments = ["--model", models.receiver, "--listen", receiver_listen]
        receiver_arguments += ["--metrics-listen", receiver_metrics, "--sharers", f"sharer={sharer.address}"]
        receiver_arguments += fusers_arguments(fusers)
        with running_service("receiver_service", receiver_arguments) as receiver:
            found = {s.name: {"address": s.address, "metrics": s.metrics} for s in (sharer, receiver)}
            if json_file is not None:
                json_file.write_text(json.dumps(found, indent=2) + "\n")
            for name, where in found.items():
                sys.stdout.write(f"{name}: {where['address']}, metrics http://{where['metrics']}/metrics\n")
            sys.stdout.write(f"live page: http://{receiver.metrics}/\n")
            sys.stdout.write(f'ask with: kvwire ask --receiver {receiver.address} --context "..." --prompt "..."\n')
            sys.stdout.flush()
            wait_until_one_ends((sharer, receiver))
