"""A peer's environment: made once, under the model store's folder, by the standard library's venv and pip."""

import subprocess
import sys
from pathlib import Path

from bench.peers.catalog import Peer
from kvwire.errors import StoreError, UnavailableError

#: Written last, with what was installed: an environment that was cut half-way, or is of other pins, is made anew.
_MARK = "kvwire-requirements.txt"
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:")


def python_of(peer: Peer, home: Path) -> Path:
    """The environment's python.

    Raises:
        UnavailableError: It was not made, or with other pins.
    """
    folder = _folder(peer, home)
    mark = folder / _MARK
    if not mark.exists() or mark.read_text(encoding="utf-8") != peer.requirements.read_text(encoding="utf-8"):
        raise UnavailableError(f"{peer.name} {peer.version} is not installed; kvwire codec peers {peer.name}")
    return folder / "bin" / "python"


def install(peer: Peer, home: Path) -> Path:
    """Make the environment, unless it is there; its folder.

    Raises:
        StoreError: venv or pip failed.
    """
    folder = _folder(peer, home)
    try:
        python_of(peer, home)
    except UnavailableError:
        pip, pins = (str(folder / "bin" / "python"), *_PIP), str(peer.requirements)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)], peer)
        # Which libraries torch needs differs between its builds; everything else is in the pins.
        _run([*pip, "--constraint", pins, "torch"], peer)
        _run([*pip, "--no-deps", "--requirement", pins], peer)
        (folder / _MARK).write_text(peer.requirements.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def _folder(peer: Peer, home: Path) -> Path:
    return home / "peers" / peer.name


def _run(command: list[str], peer: Peer) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own arguments
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise StoreError(f"{peer.name} could not be installed, pip said: {said}; check the network and try again")
