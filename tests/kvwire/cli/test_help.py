"""Help comes at once: it needs none of the libraries that take long to import."""

import subprocess
import sys

import pytest

HEAVY = {"asyncio", "grpc", "matplotlib", "numba", "numpy", "pydantic", "rich.markdown", "torch", "transformers"}

#: Shows help, then says which modules that took.
SHOW = """
import sys
from kvwire.cli.main import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("command", [(), ("loadtest",), ("ask",), ("models",)])
def test_help_loads_no_heavy_library(command):
    """Modules are counted, for time depends on who else computes."""
    told = subprocess.run([sys.executable, "-c", SHOW, *command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: " in told.stdout
    assert set(told.stderr.split()) & HEAVY == set()
    assert len(told.stderr.split()) < 320  # 263 on 2026-11-27
