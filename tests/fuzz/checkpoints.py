"""Fuser checkpoints: whatever a file or folder holds, reading it gives a fuser or an error of ours, and runs nothing.

The first byte says what the rest is, so that a mutation reaches what lies behind a container's checks: a whole file of
safetensors, the JSON that such a file describes itself by, a whole file of ``torch.save``, the pickle in one, or one of
the three kinds of JSON in an official folder.
"""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import load, save

from fuser.binding import Pairing, Side
from fuser.official.weights import read_weights
from fuser.projectors import c2c_file, ridge_file
from fuser.projectors.c2c import C2CFuser, Projector, Widths
from fuser.projectors.ridge import Band, Openings, RidgeFuser
from fuser.registry import read_fuser
from kvwire.errors import KvwireError
from kvwire.model_card import ModelBinding
from kvwire.requests import AlignmentRule

_SIZES = {
    "source_dim": 2,
    "target_dim": 3,
    "source_num_heads": 1,
    "target_num_heads": 2,
    "hidden_dim": 4,
    "intermediate_dim": 5,
    "num_layers": 3,
}
_WIDTHS = Widths(**_SIZES)
_SIDES = [
    Side(name, heads, dim, 1, 1, ModelBinding(name, "1", name.encode().ljust(32, b"w"), b"t" * 32))
    for name, heads, dim in (("sharer", 1, 2), ("receiver", 2, 3))
]
_PAIRING = Pairing(*_SIDES)
_WEIGHTS = {name: torch.ones(shape) for name, shape in _WIDTHS.shapes().items()}
_FOLDER = {
    "config.json": {"model": {"base_model": "receiver", "teacher_model": "sharer", "mapping": "last_aligned"}},
    "final/projector_config.json": {"0": {"1": {"0": [[0, 0]]}}},
    "final/projector_0.json": {"class": "C2CProjector", "init_args": _SIZES},
}


def _torch_file(weights: dict[str, torch.Tensor]) -> bytes:
    held = io.BytesIO()
    torch.save(weights, held)
    return held.getvalue()


_SAVED = _torch_file(_WEIGHTS)
# Files are read by path; one folder serves all runs.
_BESIDE = tempfile.TemporaryDirectory()
_HERE = Path(_BESIDE.name)


def seeds() -> Iterator[bytes]:
    """A good one of each kind, and fusers of both kinds."""
    for data in _fuser_files():
        yield b"\0" + data
        yield b"\1" + json.dumps(_said(data)).encode()
    yield b"\2" + _SAVED
    yield b"\3" + next(data for name, data in _entries(_SAVED) if name.endswith("data.pkl"))
    for at, said in enumerate(_FOLDER.values()):
        yield bytes([4 + at]) + json.dumps(said).encode()


def run(data: bytes) -> None:
    """One run: any error but ours, and anything a pickle does, is a finding."""
    if data:
        with suppress(KvwireError):
            _KINDS[data[0] % len(_KINDS)](data[1:])


def _file(data: bytes) -> None:
    path = _HERE / "fuser.safetensors"
    path.write_bytes(data)
    read_fuser(path)


def _description(data: bytes) -> None:
    """The text that a file describes itself by, in front of the tensors of the kind that it names."""
    text = data.decode("utf-8", "replace")
    whole = _RIDGE if '"ridge"' in text else _C2C
    _file(save(load(whole), {"kvwire": text}))


def _state_dict(data: bytes) -> None:
    path = _HERE / "projector_0.pt"
    path.write_bytes(data)
    tensors = read_weights(path, _WIDTHS.shapes())
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == _WIDTHS.shapes()


def _pickle(data: bytes) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, stored in _entries(_SAVED):
            archive.writestr(name, data if name.endswith("data.pkl") else stored)
    _state_dict(held.getvalue())


def _official(name: str) -> Callable[[bytes], None]:
    """Read a folder with one of its files replaced."""

    def read(data: bytes) -> None:
        folder = _HERE / "official"
        (folder / "final").mkdir(parents=True, exist_ok=True)
        for each, said in _FOLDER.items():
            (folder / each).write_bytes(data if each == name else json.dumps(said).encode())
        (folder / "final" / "projector_0.pt").write_bytes(_SAVED)
        read_fuser(folder)

    return read


_KINDS = (_file, _description, _state_dict, _pickle, *map(_official, _FOLDER))


def _fuser_files() -> Iterator[bytes]:
    path = _HERE / "made.safetensors"
    c2c = C2CFuser({0: Projector(0, _WIDTHS, _WEIGHTS)}, _PAIRING, b"f" * 32, "last_aligned", AlignmentRule.NONE)
    c2c_file.write(c2c, path, {})
    yield path.read_bytes()
    bands = [Band((0,), (0,), 2, bend=1)]
    tensors = {name: torch.ones(shape) for name, shape in RidgeFuser.shapes(bands, _PAIRING).items()}
    ridge_file.write(RidgeFuser(bands, tensors, _PAIRING, Openings((1,), (2,))), path, {})
    yield path.read_bytes()


def _said(data: bytes) -> dict[str, object]:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return dict(json.loads(header["__metadata__"]["kvwire"]))


def _entries(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(entry.filename, archive.read(entry)) for entry in archive.infolist()]


_C2C, _RIDGE = _fuser_files()
