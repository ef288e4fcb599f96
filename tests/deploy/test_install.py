"""The one step of the images that runs a shell, as a plain script."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def install(source, *arguments):
    """Run the script of a source folder."""
    command = ["sh", source / "deploy/docker/install.sh", *arguments]
    # Whatever index this machine installs from; PyTorch's own may be out of reach.
    environment = {**os.environ, "TORCH_INDEX": os.environ.get("TORCH_INDEX", "https://pypi.org/simple")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_variant_nobody_knows_is_refused(tmp_path):
    """Before anything is made."""
    done = install(ROOT, "tpu", tmp_path / "kvwire")
    assert done.returncode == 2
    assert "'tpu' is not known" in done.stderr
    assert not (tmp_path / "kvwire").exists()


@pytest.mark.slow
def test_the_script_installs_what_the_constraints_pin(tmp_path):
    """From a copy without the files .dockerignore leaves out, so that nothing the image needs is missing."""
    source, folder = tmp_path / "source", tmp_path / "kvwire"
    ignored = [line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines()]
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*ignored))

    done = install(source, "cpu", folder)

    assert done.returncode == 0, done.stderr
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    listed = subprocess.run([folder / "bin/pip", "list", "--format=freeze"], capture_output=True, text=True, check=True)
    installed = dict(
        line.split("+")[0].split("==") for line in listed.stdout.splitlines()
    )  # torch 2.13.0+cpu is 2.13.0
    assert "torch" in installed
    assert set(installed.items()) - set(pinned.items()) == {
        (name, installed[name]) for name in ("kvwire", "pip", "setuptools") if name in installed
    }
    shown = subprocess.run([folder / "bin/kvwire", "--help"], capture_output=True, text=True, check=True)
    assert "loadtest" in shown.stdout
