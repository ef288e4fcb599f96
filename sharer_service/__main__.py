"""``python -m sharer_service``: run a sharer."""

import sys

from kvwire.config import SharerSettings
from kvwire.rpc.main import main
from sharer_service.server import run

sys.exit(main("sharer", SharerSettings, run, sys.argv[1:]))
