"""``kvwire``: the list of commands, and how errors end them."""

import sys

import typer

from kvwire.cli import ask, bench, codec, demo, experiment, fuser, loadtest, models, serve, simulate, up
from kvwire.errors import KvwireError
from kvwire.link.command import link

app = typer.Typer(
    name="kvwire",
    help="Two language models talk through their KV caches over a real wire; accuracy, bytes and latency measured.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # frames around help would take a third of the time until it is there
    # A flag that was not given is None to typer, which loads pydantic (80 ms) to make it False.
    context_settings={"default_map": {"help": False}, "max_content_width": 120},
)
app.add_typer(models.app, name="models")
app.add_typer(codec.app, name="codec")
app.add_typer(fuser.app, name="fuser")
app.add_typer(serve.app, name="serve")
app.add_typer(experiment.app, name="experiment")
app.command("up")(up.up)
app.command("link")(link)
app.command("ask")(ask.ask)
app.command("loadtest")(loadtest.loadtest)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)
app.command("simulate")(simulate.simulate)


def main() -> None:
    """Run the command line. Ctrl-C ends it with status 130; typer sees to that."""
    try:
        app()
    except KvwireError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except OSError as error:
        if error.errno is None:  # nothing that the system said
            raise
        sys.stderr.write(f"error: {error}; check paths, permissions and the room on the disk\n")
        sys.exit(1)
