"""``kvwire link``: run a link until told to stop."""

import random
import signal
import threading
from typing import Annotated

import typer

from kvwire.launched import announce, stop_with_stdin
from kvwire.link.relay import Relay
from kvwire.link.shape import Shape


def link(
    to: Annotated[str, typer.Option(help="host:port of the service at the far end")],
    rate: Annotated[str, typer.Option(help="what TCP carries per second each way: kbit, mbit or gbit")],
    delay: Annotated[str, typer.Option(help="one way: us, ms or s")] = "0ms",
    loss: Annotated[str, typer.Option(help="share of segments that are lost and sent again")] = "0%",
    listen: Annotated[str, typer.Option(help="host:port of the near end; port 0 takes a free one")] = "127.0.0.1:0",
    seed: Annotated[int, typer.Option(help="of which segments are lost")] = 0,
    stop_at_end_of_stdin: Annotated[  # noqa: FBT002  # typer turns it into a flag
        bool, typer.Option("--stop-with-stdin", help="stop when standard input ends: the launcher is gone")
    ] = False,
) -> None:
    """Stand between two services as a link of a rate, a delay and a loss; prints its address as one JSON line."""
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)  # before any thread begins: all inherit it
    relay = Relay(listen, to, Shape.parse(rate, delay, loss), random.Random(seed))  # noqa: S311  # no secret
    threading.Thread(target=relay.serve, daemon=True).start()
    if stop_at_end_of_stdin:
        stop_with_stdin()
    announce(address=relay.address)
    signal.sigwait(stops)
    relay.close()
