"""A C2C fuser as one safetensors file, what ``kvwire fuser convert``, ``fresh`` and ``train`` write.

Facts: ``mapping``; ``alignment``, none if it is not there; ``projectors``, receiver layer to ``source`` and ``widths``;
``sharer`` and ``receiver``, name and geometry; ``made``, how it came about, which nothing depends on.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fuser import checkpoint
from fuser.binding import Pairing
from fuser.checkpoint import Checkpoint
from fuser.mapping import MAPPINGS
from fuser.projectors.c2c import C2CFuser, Projector, Widths
from kvwire.errors import BindingError
from kvwire.requests import AlignmentRule


def write(fuser: C2CFuser, path: Path, made: Mapping[str, Any]) -> None:
    """Write a fuser to a file."""
    sharer, receiver = fuser.pairing.sharer, fuser.pairing.receiver
    facts = {
        "mapping": fuser.mapping,
        "alignment": fuser.alignment.value,
        "sharer": sharer.said(),
        "receiver": receiver.said(),
        "made": made,
        "projectors": {
            str(target): {"source": projector.source, "widths": asdict(projector.widths)}
            for target, projector in fuser.projectors.items()
        },
    }
    checkpoint.write(path, fuser.name, sharer.binding, receiver.binding, facts, fuser.weights())


def read(found: Checkpoint) -> C2CFuser:
    """Make a fuser of a file.

    Raises:
        BindingError: Its facts are of another version.
        DataLossError: Its tensors are not those that its facts promise.
    """
    try:
        layers = {int(target): fact for target, fact in found.facts["projectors"].items()}
        widths = {target: Widths.parse(fact["widths"], str(found.path)) for target, fact in layers.items()}
        sources = {target: int(fact["source"]) for target, fact in layers.items()}
        mapping = str(found.facts["mapping"])
        alignment = AlignmentRule(found.facts.get("alignment", AlignmentRule.NONE))
        pairing = Pairing.parse(found.facts, found.sharer, found.receiver)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise BindingError(f"{found.path} describes no C2C fuser ({error!r}); convert it again") from None
    _check(found, pairing, sources, widths)
    if mapping not in {"", *MAPPINGS}:
        raise BindingError(f"{found.path} maps layers by {mapping!r}; this build knows {', '.join(MAPPINGS)}")
    tensors = found.tensors(
        {
            f"projector_{target}.{name}": shape
            for target, wide in widths.items()
            for name, shape in wide.shapes().items()
        }
    )
    projectors = {
        target: Projector(
            sources[target], wide, {name: tensors[f"projector_{target}.{name}"] for name in wide.shapes()}
        )
        for target, wide in widths.items()
    }
    return C2CFuser(projectors, pairing, found.fingerprint, mapping, alignment)


def _check(found: Checkpoint, pairing: Pairing, sources: Mapping[int, int], widths: Mapping[int, Widths]) -> None:
    """Every projector lies between two layers, and is for the heads, of the two models that the file names."""
    sharer, receiver = pairing.sharer, pairing.receiver
    for target, wide in widths.items():
        inside = 0 <= target < receiver.least_layers and 0 <= sources[target] < sharer.least_layers
        theirs, ours = (wide.source_num_heads, wide.source_dim), (wide.target_num_heads, wide.target_dim)
        if not inside or theirs != (sharer.kv_heads, sharer.head_dim) or ours != (receiver.kv_heads, receiver.head_dim):
            raise BindingError(f"{found.path}: projector {target} is for other models than the file; convert it again")
