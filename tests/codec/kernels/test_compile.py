"""What is kept on disk is never older than the sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import codec.kernels

_PROBE = """
from codec.kernels.compile import loop
from codec.kernels.helper import helped

@loop
def probe():
    return helped()

print(probe(), sum(probe.stats.cache_hits.values()))
"""
_HELPER = """
from codec.kernels.compile import inlined

@inlined
def helped():
    return {}
"""


def test_an_edit_in_a_file_that_a_loop_only_calls_is_noticed(tmp_path):
    """A run without edits reads what the first one kept; one after an edit of the callee's file does not."""
    kernels = tmp_path / "codec" / "kernels"
    kernels.mkdir(parents=True)
    (tmp_path / "codec" / "__init__.py").touch()
    (kernels / "__init__.py").touch()
    shutil.copy(Path(codec.kernels.__file__).with_name("compile.py"), kernels)
    (kernels / "probe.py").write_text(_PROBE)

    def answer(helper):
        (kernels / "helper.py").write_text(_HELPER.format(helper))
        # Python's own kept bytecode takes an edit of the same length within a second for none.
        environment = {
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(tmp_path / "kept"),
        }
        command = [sys.executable, "-m", "codec.kernels.probe"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert answer(1) == ["1", "0"]
    assert answer(1) == ["1", "1"]
    assert answer(2) == ["2", "0"]
