"""The code and the machine of this process, which its results depend on."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("kvwire", "torch", "transformers", "numpy", "grpcio")


def code_here() -> dict[str, Any]:
    """The commit, and the version of each package that has a say in a number."""
    return {"commit": _commit(), **{package: _version(package) for package in _PACKAGES}}


def machine_here() -> dict[str, Any]:
    """Processor, cores, system and Python; nothing that names the one machine among its equals."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with a mark if files differ from it; None when the code is no checkout of its own."""
    root = Path(__file__).parents[1]
    try:
        top, commit = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if Path(top) != root:  # installed inside of another project
            return None
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ("git", "-C", str(folder), *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603  # no shell


def _cpu() -> str:
    """The processor's name; Linux tells it in a file, other systems through Python."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
