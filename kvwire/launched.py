"""What a process owes to whoever launched it: a line when it is ready, and its end when the launcher's comes."""

import json
import os
import signal
import sys
import threading


def announce(**where: str) -> None:
    """Print one JSON line with the addresses to standard output."""
    sys.stdout.write(json.dumps({"event": "ready", **where}) + "\n")
    sys.stdout.flush()


def stop_with_stdin() -> None:
    """Have SIGTERM sent to this process when its standard input ends."""
    threading.Thread(target=_stop_at_end_of_stdin, daemon=True).start()


def _stop_at_end_of_stdin() -> None:
    """However a launcher ends, kill -9 included, the pipe it held ends too."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
