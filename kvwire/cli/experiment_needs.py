"""Makes what a recipe needs, or finds it made: fusers, and the tables and profiles of its sharer."""

import hashlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvwire.cli.files import write_whole
from kvwire.errors import NotFoundError, StartError
from kvwire.models.disk import file_sha256

if TYPE_CHECKING:
    from experiments.artifacts import Artifact
    from experiments.recipe import Recipe
    from kvwire.processes import Pair

# Roughly, on two cores, of the largest model we ship: guessed from how fast it reads.
_TABLE_MINUTES, _PROFILE_MINUTES = 8.0, 5.0


@dataclass(frozen=True)
class Needs:
    """All that a recipe needs for its pair, in the order it is made."""

    artifacts: "tuple[Artifact, ...]"

    @property
    def fusers(self) -> list[str]:
        """What services are started with."""
        return [f"{each.name}={each.file}" for each in self.artifacts if each.name]

    def make(self) -> dict[str, str]:
        """Make what is missing, showing its progress; return the SHA-256 of every file by its name.

        Raises:
            StartError: A command failed; what it had done stays, and the same command goes on with it.
        """
        for each in self.artifacts:
            if each.file.exists():
                continue
            if not each.command:
                raise NotFoundError(f"{each.file} is not there; the recipe names it for fuser {each.name}")
            each.file.parent.mkdir(parents=True, exist_ok=True)
            sys.stderr.write(f"making {each.file.name}: kvwire {' '.join(each.command)}\n")
            ended = subprocess.run([sys.executable, "-m", "kvwire", *each.command], stdout=sys.stderr, check=False)  # noqa: S603  # our own command line
            if ended.returncode:
                raise StartError(f"kvwire {' '.join(each.command)} ended with status {ended.returncode}; see above")
        return {each.name or each.file.name: _sha256(each.file) for each in self.artifacts}


def needs_of(recipe: "Recipe", pair: "Pair", data: Path | None, folder: Path) -> Needs:
    """What a recipe needs; texts are written into the folder, models are fetched if their weights must be known.

    Raises:
        NotFoundError: There is no text to make it from.
    """
    from experiments.artifacts import Between, artifacts
    from experiments.needs import Calibrated, Trained

    def texts() -> dict[Path, str]:
        return _texts(data, folder)

    learned = any(isinstance(need, Calibrated | Trained) for need in recipe.needs.values())
    between = Between(pair.sharer, pair.receiver, texts() if learned else {})
    of_the_sharer = _of_the_sharer(recipe, pair.sharer, texts)
    return Needs((*of_the_sharer, *artifacts(recipe.needs, between, folder)))


def _of_the_sharer(recipe: "Recipe", sharer: str, texts: Callable[[], Mapping[Path, str]]) -> "Iterator[Artifact]":
    """Tables and profiles, in the model store, where services look for them."""
    from codec.allocate import profile
    from codec.calibration import file_name
    from experiments.artifacts import Artifact
    from kvwire.models.store import ModelStore, default_home

    def artifact(file: Path, minutes: float, *command: str) -> Artifact:
        told = [] if file.is_file() else [argument for text in texts() for argument in ("--text", str(text))]
        return Artifact("", file, (*command, *told), minutes)

    if not (_uses_tables(recipe) or recipe.policies):
        return
    weights = bytes.fromhex(ModelStore().pull(sharer).weights_fingerprint)
    if _uses_tables(recipe):
        tables = default_home() / "calibrations" / file_name(weights)
        yield artifact(tables, _TABLE_MINUTES, "codec", "calibrate", sharer)
    if recipe.policies:
        sensitivity = default_home() / "profiles" / profile.file_name(weights)
        yield artifact(sensitivity, _PROFILE_MINUTES, "codec", "profile", "--model", sharer)


def _uses_tables(recipe: "Recipe") -> bool:
    return any(re.search(r"(^|@)rd\b", codec) for codec in (*recipe.codecs, *recipe.unpruned))


def _texts(data: Path | None, folder: Path) -> dict[Path, str]:
    """The training text as a file named after its content."""
    from loadtest.datasets import training_text

    text = training_text(data).encode()
    sha256 = hashlib.sha256(text).hexdigest()
    path = folder / f"text-{sha256[:16]}.txt"
    if not path.is_file():
        write_whole(path, text)
    return {path: sha256}


def _sha256(path: Path) -> str:
    """Of a file, or of all files of a folder."""
    if not path.is_dir():
        return file_sha256(path)
    inner = (f"{each.relative_to(path)} {file_sha256(each)}\n" for each in sorted(path.rglob("*")) if each.is_file())
    return hashlib.sha256("".join(inner).encode()).hexdigest()
