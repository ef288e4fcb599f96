"""The tables of `rd`: their file, whose they are, and what is wrong with one."""

import json

import numpy as np
import pytest
from safetensors.numpy import save

from codec.calibration import Calibration, serialize
from codec.calibrations import Calibrations
from codec.spec import CodecSpec
from kvwire.errors import BindingError


def test_tables_round_trip_through_their_file(rd_tables, tmp_path):
    """And are known by the hash of its bytes."""
    tables = rd_tables(2, 33)
    data = serialize(tables.model, tables.weights, tables.tensors)
    (tmp_path / "0000000000000000.safetensors").write_bytes(data)
    found = Calibrations(tmp_path).needed(CodecSpec.parse("rd:bits=2"), bytes(32), "nobody/none")
    assert found is not None
    assert found.digest == tables.digest


def test_a_folder_without_the_models_tables_is_a_clear_error(tmp_path):
    """With the path and the command; codecs that need none ask for none."""
    folder = Calibrations(tmp_path)
    assert folder.needed(CodecSpec.parse("int8"), bytes(32), "some/model") is None
    with pytest.raises(BindingError, match=r"some/model.*0000000000000000.safetensors.*kvwire codec calibrate"):
        folder.needed(CodecSpec.parse("rd:bits=2"), bytes(32), "some/model")


def test_tables_of_other_weights_are_refused(rd_tables, tmp_path):
    """A file that was renamed does not pass."""
    tables = rd_tables(2, 33)
    (tmp_path / "0101010101010101.safetensors").write_bytes(serialize(tables.model, tables.weights, tables.tensors))
    with pytest.raises(BindingError, match="other weights"):
        Calibrations(tmp_path).needed(CodecSpec.parse("rd:bits=2"), b"\1" * 32, "some/model")


@pytest.mark.parametrize("cut", [0, 7, 100, -1])
def test_a_damaged_file_is_refused(rd_tables, cut):
    """Whatever is left of it."""
    tables = rd_tables(2, 33)
    data = serialize(tables.model, tables.weights, tables.tensors)
    with pytest.raises(BindingError, match="make it again"):
        Calibration.parse(data[:cut], "it")


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("energies", None, "energies is missing"),
        ("frequencies", lambda found: found[0, :1].reshape(()), r"frequencies is int32 \(\)"),
        ("steps", lambda found: found.astype(np.float32), "steps is float32"),
        ("means", lambda found: found[:, :1], "means is of shape .*, which does not go with the others"),
        ("forward", lambda found: found[..., :-1], "forward is of shape"),
        ("roundings", lambda found: found[:-1], "roundings is of shape"),
        ("divergences", lambda found: found * np.nan, "divergences holds NaN"),
        ("gains", lambda found: found[..., :1], "gains are of 1 zones"),
        ("scales", lambda found: np.arange(found.size, dtype=np.int16).reshape(found.shape), "scales increase"),
    ],
)
def test_a_tensor_that_is_not_what_it_should_be_is_refused(rd_tables, name, change, says):
    """By its name, before anything is computed from it."""
    tensors = dict(rd_tables(2, 33).tensors)
    found = tensors.pop(name)
    if change is not None:
        tensors[name] = np.array(change(found), order="C")
    about = json.dumps({"format": "kvwire calibration", "version": "2", "model": "some/model", "weights": "00" * 32})
    with pytest.raises(BindingError, match=says):
        Calibration.parse(save(tensors, {"kvwire": about}), "it")


def test_tables_that_do_not_sum_up_are_refused(rd_tables):
    """A decoder under them would read outside its slots."""
    tables = rd_tables(2, 33)
    broken = dict(tables.tensors)
    broken["frequencies"] = broken["frequencies"] + 1
    with pytest.raises(BindingError, match="frequencies does not sum to 4096"):
        Calibration.parse(serialize(tables.model, tables.weights, broken), "it")
