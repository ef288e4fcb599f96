"""``python -m receiver_service``: run a receiver."""

import sys

from kvwire.config import ReceiverSettings
from kvwire.rpc.main import main
from receiver_service.server import run

sys.exit(main("receiver", ReceiverSettings, run, sys.argv[1:]))
