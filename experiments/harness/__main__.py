"""lm-eval's own command line with model ``kvwire``: ``python -m experiments.harness run --model kvwire ...``."""

import sys

from lm_eval.__main__ import cli_evaluate

import experiments.harness.model  # noqa: F401  # registers it
from kvwire.errors import KvwireError

try:
    cli_evaluate()
except KvwireError as error:
    sys.exit(f"error: {error}")
