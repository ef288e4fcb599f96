"""``kvwire serve sharer|receiver|http``: run one service in the foreground."""

import sys
from typing import Any

import typer

app = typer.Typer(
    help="Run one service in the foreground; each takes --help.", no_args_is_help=True, rich_markup_mode=None
)

# The services' settings define their options; everything is passed through to them.
_PASS_THROUGH: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command(context_settings=_PASS_THROUGH)
def sharer(context: typer.Context) -> None:
    """Run a sharer: reads contexts and streams their caches."""
    from sharer_service.__main__ import serve

    sys.exit(serve(context.args))


@app.command(context_settings=_PASS_THROUGH)
def receiver(context: typer.Context) -> None:
    """Run a receiver: answers, with the help of sharers."""
    from receiver_service.__main__ import serve

    sys.exit(serve(context.args))


@app.command(context_settings=_PASS_THROUGH)
def http(context: typer.Context) -> None:
    """Run an HTTP front door: OpenAI's clients ask a receiver."""
    from http_service.__main__ import serve

    sys.exit(serve(context.args))
