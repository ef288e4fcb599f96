"""A folder as the official C2C training code leaves it, read into a fuser.

::

    config.json                    the training recipe: names of both models, alignment, mapping
    final/projector_config.json    {"0": {"1": {<receiver layer>: [[<sharer layer>, <projector>]]}}}
    final/projector_<i>.json       class and constructor arguments
    final/projector_<i>.pt         state dict

Where a layer lists several projectors the official code takes the first unless it was given an aggregator.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from fuser.binding import Pairing, Side
from fuser.mapping import MAPPINGS
from fuser.official.weights import read_weights
from fuser.projectors.c2c import C2CFuser, Projector, Widths
from kvwire.errors import DataLossError, NotFoundError, UnsupportedError
from kvwire.requests import AlignmentRule

# Constructor arguments that only training reads.
_TRAINING_ARGUMENTS = frozenset({"dropout", "initial_temperature", "final_temperature", "anneal_steps", "dtype"})
_PROJECTOR_FILE = re.compile(r"projector_(\d{1,4})\.pt")
_JSON_BYTES = 1 << 20
_MOST_LAYERS = 1024
_READ_BYTES = 1 << 20


def read_official(folder: Path) -> C2CFuser:
    """Load a folder; everything is checked against everything else before weights are read.

    Raises:
        NotFoundError: It is not there, or has no ``final/``.
        UnsupportedError: It was trained with a class, an alignment or an aggregator that this build does not run.
        DataLossError: A file is damaged, or says or holds something else than it should.
    """
    final = folder / "final"
    if not final.is_dir():
        raise NotFoundError(f"{folder} is no official C2C checkpoint: it has no final/ folder")
    recipe = _json(folder / "config.json").get("model")
    if not isinstance(recipe, dict):
        raise DataLossError(f"{folder / 'config.json'} has no model section; fetch it again")
    layers = _layers(final / "projector_config.json")
    _check_files(final, {index for _, index in layers.values()})
    alignment, mapping = _alignment(folder, recipe), str(recipe.get("mapping", ""))
    if mapping not in {"", *MAPPINGS}:
        raise UnsupportedError(f"{folder} maps layers by {mapping!r}; this build knows {', '.join(MAPPINGS)}")
    widths = {target: _widths(final / f"projector_{index}.json") for target, (_, index) in layers.items()}
    pairing = _pairing(folder, recipe, layers, widths)
    projectors = {
        target: Projector(source, wide, read_weights(final / f"projector_{index}.pt", wide.shapes()))
        for (target, (source, index)), wide in zip(layers.items(), widths.values(), strict=True)
    }
    return C2CFuser(projectors, pairing, _fingerprint(folder), mapping, alignment)


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _JSON_BYTES:
            raise DataLossError(f"{path} has {path.stat().st_size} bytes; a checkpoint's has a few hundred")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataLossError(f"{path} is missing; fetch the checkpoint again") from None
    except (ValueError, RecursionError) as error:
        raise DataLossError(f"{path} is no JSON ({error}); fetch it again") from None
    if not isinstance(found, dict):
        raise DataLossError(f"{path} holds no JSON object; fetch it again")
    return found


def _layers(path: Path) -> dict[int, tuple[int, int]]:
    """Receiver layer to sharer layer and projector."""
    try:
        ((receiver, sharers),) = _json(path).items()
        ((sharer, targets),) = sharers.items()
        layers = {int(target): (int(pairs[0][0]), int(pairs[0][1])) for target, pairs in targets.items()}
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        raise DataLossError(f"{path} maps no layers of one sharer to one receiver ({error}); fetch it again") from None
    numbers = [number for target, pair in layers.items() for number in (target, *pair)]
    if (receiver, sharer) != ("0", "1") or not layers or not all(0 <= number < _MOST_LAYERS for number in numbers):
        raise DataLossError(f"{path} names other models than 0 and 1, or layers that cannot be; fetch it again")
    if len({index for _, index in layers.values()}) != len(layers):
        raise UnsupportedError(f"{path} gives one projector to several layers; official checkpoints have one each")
    return layers


def _check_files(final: Path, used: set[int]) -> None:
    if aggregators := sorted(final.glob("aggregator*")):
        raise UnsupportedError(f"{aggregators[0]}: this build does not run aggregators")
    there = {int(found[1]) for path in final.iterdir() if (found := _PROJECTOR_FILE.fullmatch(path.name))}
    if there != used:
        wrong = ", ".join(f"projector_{index}.pt" for index in sorted(there ^ used)[:8])
        raise DataLossError(f"{final}: {wrong} missing or not named by projector_config.json; fetch it again")


def _widths(path: Path) -> Widths:
    said = _json(path)
    arguments = said.get("init_args")
    if said.get("class") != "C2CProjector" or not isinstance(arguments, dict):
        raise UnsupportedError(f"{path} is of class {said.get('class')!r}; this build runs C2CProjector")
    sizes = {name: value for name, value in arguments.items() if name not in _TRAINING_ARGUMENTS}
    return Widths.parse(sizes, str(path))


def _alignment(folder: Path, recipe: dict[str, Any]) -> AlignmentRule:
    """What was trained with aligned tokens takes the first of several unless it says otherwise."""
    if not recipe.get("is_do_alignment"):
        return AlignmentRule.NONE
    said = recipe.get("alignment_strategy", AlignmentRule.FIRST)
    if said not in (AlignmentRule.FIRST, AlignmentRule.LONGEST):
        raise UnsupportedError(f"{folder} aligns tokens by {said!r}; this build knows first and longest")
    return AlignmentRule(said)


def _pairing(
    folder: Path, recipe: dict[str, Any], layers: dict[int, tuple[int, int]], widths: dict[int, Widths]
) -> Pairing:
    sources = {(each.source_num_heads, each.source_dim) for each in widths.values()}
    targets = {(each.target_num_heads, each.target_dim) for each in widths.values()}
    if len(sources) != 1 or len(targets) != 1:
        raise DataLossError(f"{folder}: its projectors are for several models: {sources} to {targets}; fetch it again")
    deepest = max(source for source, _ in layers.values())
    return Pairing(
        Side(str(recipe.get("teacher_model")), *sources.pop(), least_layers=deepest + 1),
        Side(str(recipe.get("base_model")), *targets.pop(), least_layers=max(layers) + 1),
    )


def _fingerprint(folder: Path) -> bytes:
    """SHA-256 over the names and bytes of all that was read, 32 bytes."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *sorted((folder / "final").glob("projector_*"))]:
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                digest.update(data)
    return digest.digest()
