"""``run.json``: everything a result depends on, written before the first line and never changed."""

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments.plan import Block, Plan
from kvwire.errors import InvalidRequestError
from kvwire.model_card import Description
from loadtest.report import model_facts

FORMAT = 1
_PACKAGES = ("kvwire", "torch", "transformers", "numpy", "grpcio")


def provenance(
    plan: Plan, services: Mapping[str, Description], workers: int, artifacts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """All of it; ``services`` are the answers to Describe by side, ``workers`` how many items ran at once.

    ``artifacts``: SHA-256 of what was made for the recipe, by name.
    """
    named = plan.named
    return {
        "format": FORMAT,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "recipe": {"name": named.name, "sha256": named.sha256, "text": named.source.text},
        "title": named.recipe.title,
        **({"row": list(named.recipe.row)} if named.recipe.row else {}),
        **({"artifacts": dict(artifacts)} if artifacts else {}),
        "seed": named.recipe.seed,
        "fusers": list(services["receiver"].fusers),
        "datasets": [_dataset(block) for block in plan.blocks],
        "models": {side: model_facts(description) for side, description in services.items()},
        "code": {"commit": _commit(), **{package: _version(package) for package in _PACKAGES}},
        "machine": {
            "workers": workers,
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
    }


def begin(path: Path, wanted: dict[str, Any]) -> None:
    """Write ``run.json``, or go on with the one that is there if it differs in nothing but the time.

    Raises:
        InvalidRequestError: It is of another run; says what differs.
    """
    if not path.is_file():
        written = path.with_suffix(".tmp")
        written.write_text(json.dumps(wanted, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        written.replace(path)
        return
    try:
        found = json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidRequestError(f"{path} is no provenance ({error}); use another folder") from error
    differing = _differences(found, json.loads(json.dumps(wanted)), "")
    if differing:
        raise InvalidRequestError(
            f"{path.parent} holds another run, and results must not be mixed; use another folder. "
            f"What differs: {'; '.join(differing[:5])}"
        )


def _differences(found: Any, wanted: Any, place: str) -> list[str]:
    """Paths of what is not equal, with both values, cut short."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        keys = [key for key in {**found, **wanted} if (place, key) != ("", "begun")]
        return [d for key in keys for d in _differences(found.get(key), wanted.get(key), f"{place}.{key}".lstrip("."))]
    if found == wanted:
        return []
    if place == "recipe.text":
        return []  # its hash is told already
    return [f"{place} was {str(found)[:60]}, is {str(wanted)[:60]}"]


def _dataset(block: Block) -> dict[str, Any]:
    """Hash, ids and clusters of the items in use: the hash is over what was asked, whatever file it came from."""
    fields = [question.fields for question in block.questions]
    text = json.dumps(fields, sort_keys=True, ensure_ascii=False)
    return {
        "name": block.dataset,
        "items_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "items": [question.id for question in block.questions],
        "clusters": [question.cluster for question in block.questions],
        "arms": [arm.to_json() for arm in block.arms],
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
