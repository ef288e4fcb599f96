"""``kvwire experiment`` as a process, and a recipe of five arms for it."""

import os
import subprocess
import sys

COMMAND = "from kvwire.cli.experiment import app; app()"

ARMS = 5
RECIPE = """\
title: tiny
datasets:
  - name: pocket
    limit: {items}
codecs: [int8]
keep: [1, 0.5]
selectors: [random]
baselines: [receiver_only, receiver_reads]
together: 3
timed: 1
"""


def start(code, *arguments, **environment):
    """Run Python code with arguments of a command line, to its end."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
