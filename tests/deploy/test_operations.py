"""What docs/operations.md tells to type works as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvwire.models.store import default_home

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh run\n(.*?)^```", (ROOT / "docs/operations.md").read_text(), re.DOTALL | re.MULTILINE)
HOME = default_home()  # before a test points it elsewhere


@pytest.mark.slow
@pytest.mark.model
def test_the_blocks_marked_run_work_as_they_stand(smollm2, tmp_path):
    """With TLS and a token: start, ask, load, drain; in one shell that stops at the first command that fails."""
    assert smollm2
    assert len(BLOCKS) == 3
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "KVWIRE_HOME": str(HOME), "KVWIRE_THREADS": "1"}
    script = "set -eu\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(BLOCKS)
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "load.json").read_text())
    assert result["failed"] == 0
    assert len((tmp_path / "requests.jsonl").read_text().splitlines()) == result["items"]
    assert "int8" in (tmp_path / "load.html").read_text()
