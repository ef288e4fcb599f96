"""The tutorials, followed to the letter in a copy of the tree: what they make keeps what its seam promises."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ["codec", "fuser", "kvwire", "tests", "docs", "pyproject.toml"]
FILES = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGES = re.compile(r"^```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path):
    """A tree like this one."""
    for name in COPIED:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, tmp_path)
    return tmp_path


def run(command, folder, **more):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["tutorial-quantizer.md", "tutorial-fuser.md"])
def test_a_tutorial_works_as_it_is_written(name, copy):
    """Files, changes, and commands, in order; the last one runs what checks the new part."""
    text = (ROOT / "docs" / name).read_text()
    for path, content in FILES.findall(text):
        assert not (copy / path).exists()
        (copy / path).write_text(content)
    for change in CHANGES.findall(text):
        run(["git", "apply", "--recount", "-"], copy, input=change)
    # The copy's packages, not those that are installed; its tests need no coverage of their own.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    said = [run(["bash", "-ec", commands], copy, env=environment) for commands in COMMANDS.findall(text)]
    assert re.search(r"\d+ passed|\[100%\]", said[-1])
