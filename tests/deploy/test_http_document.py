"""docs/http.md tells what the front door does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from http_service.failures import FAILURES
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service

DOCUMENT = (Path(__file__).parents[2] / "docs/http.md").read_text()
ROW = re.compile(r"^\| (\w+)[^|]*\| (\d{3}) \| `(\w+)` \| `(\w+)` \|$", re.MULTILINE)


def test_its_table_of_errors_is_the_one_that_is_used():
    """Row by row."""
    told = {name: (int(status), kind, code) for name, status, kind, code in ROW.findall(DOCUMENT)}
    used = {kind.__name__: (row.status, row.type, row.code) for kind, row in FAILURES.items()}
    assert told | {"Exception": told["all"]} == used | {"all": told["all"]}


@pytest.mark.slow
@pytest.mark.model
def test_the_blocks_marked_run_work_as_they_stand(smollm2, tmp_path):
    """Against a front door of a pair of SmolLM2; only its address is another."""
    blocks = re.findall(r"^```(sh|python) run\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    assert [language for language, _ in blocks] == ["sh", "python"]
    shells = {"sh": ["/bin/bash", "-c"], "python": [sys.executable, "-c"]}
    model = f"path:{smollm2.path}"
    with running_pair(Pair(model, model), ["--threads", "1"], tmp_path) as (_, receiver):
        arguments = [*FREE_PORTS, "--receiver", receiver.address]
        with running_service("http_service", arguments, tmp_path / "http.log") as door:
            for language, block in blocks:
                command = [*shells[language], block.replace("127.0.0.1:8000", door.address)]
                done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
                assert "payload_bytes" in done.stdout
