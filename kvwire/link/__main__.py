"""``python -m kvwire.link``: run a link."""

import sys

import typer

from kvwire.errors import KvwireError
from kvwire.link.command import link

try:
    typer.run(link)
except KvwireError as error:
    sys.stderr.write(f"error: {error}\n")
    sys.exit(1)
