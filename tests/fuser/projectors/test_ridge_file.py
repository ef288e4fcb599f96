"""A ridge fuser's file is refused unless it is whole, holds numbers and gives every layer once."""

import json
import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from fuser.binding import Pairing, Side
from fuser.projectors import ridge_file
from fuser.projectors.ridge import Band, Openings, RidgeFuser, windows
from fuser.registry import read_fuser
from kvwire.errors import BindingError, DataLossError
from kvwire.model_card import LayerCard, ModelBinding, ModelCard, Rope

BANDS = [Band((0, 1), (0, 1), 3), Band((0, 2), (2,), 2)]


def side(name, layers):
    binding = ModelBinding(name, "1", name.encode().ljust(32, b"w"), b"t" * 32)
    card = ModelCard(
        *(binding, "llama", "", "float32", "cpu", 2, 4, 9, 99, (Rope("default", (1.0,), 1.0),)),
        (LayerCard(0, 0),) * layers,
    )
    return Side.of(card)


def write(path: Path, bands=BANDS, **changed):
    pairing = Pairing(side("sharer", 3), side("receiver", 3))
    tensors = {name: torch.ones(shape) for name, shape in RidgeFuser.shapes(bands, pairing).items()}
    ridge_file.write(RidgeFuser(bands, tensors | changed, pairing, Openings((1,), (2,))), path, {})
    return path


def test_openings_and_bands_come_back(tmp_path):
    """With the weights, of 16 bits but for scales."""
    back = read_fuser(write(tmp_path / "fuser.safetensors"))
    assert back.bands == tuple(BANDS)
    assert (back.head((7, 8)), back.opening((7, 8)), back.opening(())) == ((1,), (7, 8), (2,))


@pytest.mark.parametrize(
    "bands",
    [
        pytest.param(BANDS[:1], id="a layer that no band gives"),
        pytest.param([*BANDS, Band((0,), (1,), 1)], id="a layer that two bands give"),
        pytest.param([Band((0, 3), (0, 1, 2), 1)], id="a layer that the sharer does not have"),
        pytest.param([Band((1, 0), (0, 1, 2), 1)], id="layers in disorder"),
        pytest.param([Band((0,), (0, 1, 2), 1 << 17)], id="a rank beyond any cache"),
    ],
)
def test_bands_that_cannot_be_are_refused(tmp_path, bands):
    """Before a tensor is read."""
    with pytest.raises(BindingError, match="every receiver layer once"):
        read_fuser(write(tmp_path / "fuser.safetensors", bands))


@pytest.mark.parametrize(
    ("name", "value"), [("0.up", float("nan")), ("1.mean", float("inf")), ("0.spread", 0.0), ("1.spread", -1.0)]
)
def test_numbers_that_cannot_be_are_refused(tmp_path, name, value):
    """They would poison every cache."""
    shape = RidgeFuser.shapes(BANDS, Pairing(side("sharer", 3), side("receiver", 3)))[name]
    with pytest.raises(DataLossError, match=name):
        read_fuser(write(tmp_path / "fuser.safetensors", **{name: torch.full(shape, value)}))


@pytest.mark.parametrize(
    "said",
    [
        {"layers": "3"},
        {"layers": 10**12},
        {"kv_heads": "ab"},
        {"head_dim": 2.0},
        {"name": 5},
        {"layers": -3},
        {"more": 1},
    ],
    ids=str,
)
def test_a_model_that_cannot_be_is_refused(tmp_path, said):
    """Text, fractions, or more layers than there is memory to count them."""
    path = write(tmp_path / "fuser.safetensors")
    describe(path, lambda facts: facts["receiver"].update(said))
    with pytest.raises(BindingError, match="describes no ridge fuser"):
        read_fuser(path)


def test_an_infinite_rank_is_refused(tmp_path):
    """JSON of Python knows the word."""
    path = write(tmp_path / "fuser.safetensors")
    describe(path, lambda facts: facts["bands"][0].update(rank=math.inf))
    with pytest.raises(BindingError, match="describes no ridge fuser"):
        read_fuser(path)


def test_a_description_too_deep_to_read_is_refused(tmp_path):
    """It would exhaust the stack."""
    path = tmp_path / "fuser.safetensors"
    path.write_bytes(save({"x": torch.zeros(1)}, {"kvwire": "[" * 100_000}))
    with pytest.raises(BindingError, match="no fuser of kvwire"):
        read_fuser(path)


def describe(path, change):
    """Write a file again with other facts."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = json.loads(header["__metadata__"]["kvwire"])
    change(about["facts"])
    path.write_bytes(save(load(data), {"kvwire": json.dumps(about)}))


def test_a_cut_file_is_refused(tmp_path):
    """Wherever it was cut."""
    path = write(tmp_path / "fuser.safetensors")
    whole = path.read_bytes()
    for size in (7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataLossError):
            read_fuser(path)


class Harmful:
    """Pickled, it would run a command."""

    def __reduce__(self):
        return os.mkdir, ("was-run",)


def test_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    """Whatever its name says."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fuser.safetensors"
    path.write_bytes(pickle.dumps({"0.up": Harmful()}))
    with pytest.raises(DataLossError):
        read_fuser(path)
    assert not (tmp_path / "was-run").exists()


def test_windows_lie_around_the_same_depth():
    """And stay within the sharer."""
    found = list(windows(sources=24, targets=30, width=5, rank=4))
    assert [band.targets for band in found] == [(target,) for target in range(30)]
    assert all(len(band.sources) == 5 for band in found)
    assert found[0].sources == (0, 1, 2, 3, 4)
    assert found[15].sources == (10, 11, 12, 13, 14)
    assert found[-1].sources == (19, 20, 21, 22, 23)
