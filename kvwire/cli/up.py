"""``kvwire up``: a sharer and a receiver on this machine, until Ctrl-C."""

import sys
from typing import Annotated

import typer

from kvwire.cli.options import DEFAULT_PAIR, FusersOption, JsonOption, PairOption, fusers_arguments, save


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
    common = fusers_arguments(fusers)
    own = [*models.sharer_arguments, "--listen", sharer_listen, "--metrics-listen", sharer_metrics]
    with running_service("sharer_service", [*own, *common]) as sharer:
        own = ["--model", models.receiver, "--listen", receiver_listen, "--metrics-listen", receiver_metrics]
        known = ["--sharers", f"sharer={sharer.address}"]
        with running_service("receiver_service", [*own, *known, *common]) as receiver:
            found = {s.name: {"address": s.address, "metrics": s.metrics} for s in (sharer, receiver)}
            save(found, json_file)
            for name, where in found.items():
                sys.stdout.write(f"{name}: {where['address']}, metrics http://{where['metrics']}/metrics\n")
            sys.stdout.write(f"live page: http://{receiver.metrics}/\n")
            sys.stdout.write(f'ask with: kvwire ask --receiver {receiver.address} --context "..." --prompt "..."\n')
            sys.stdout.flush()
            wait_until_one_ends((sharer, receiver))
