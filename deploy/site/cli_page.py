"""The reference of the command line: what ``--help`` says, of every command."""

from collections.abc import Iterator

from pydantic_settings import BaseSettings
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from kvwire.cli.main import app
from kvwire.config import HttpSettings, ReceiverSettings, SharerSettings

_SERVICES: dict[str, type[BaseSettings]] = {
    "sharer": SharerSettings,
    "receiver": ReceiverSettings,
    "http": HttpSettings,
}


def cli_page() -> str:
    """Commands, and the options of services, in Markdown."""
    command = get_command(app)
    commands = get_docs_for_click(obj=command, ctx=Context(command), name="kvwire", title="Command line")
    services = [line for name, settings in _SERVICES.items() for line in _options(name, settings)]
    return "\n".join([commands, "## Options of services", *services, ""])


def _options(name: str, settings: type[BaseSettings]) -> Iterator[str]:
    """As a table; each is a variable of the environment too."""
    yield f"\n### Of `kvwire serve {name}`\n\n| option | what | default |\n|---|---|---|"
    for field, told in settings.model_fields.items():
        default = told.get_default(call_default_factory=True)
        shown = f"`{default}`" if default not in (None, "", [], {}) else "-"
        yield f"| `--{field.replace('_', '-')}` | {told.description} | {shown} |"
