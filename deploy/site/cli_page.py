"""The reference of the command line: what ``--help`` says, of every command."""

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from kvwire.cli.main import app


def cli_page() -> str:
    """In Markdown."""
    command = get_command(app)
    return get_docs_for_click(obj=command, ctx=Context(command), name="kvwire", title="Command line")
