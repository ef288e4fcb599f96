"""Tiny models that read the licence, and what they have read."""

from pathlib import Path

import pytest
import torch

from calibration.collect import collect
from calibration.readings import TextReader
from kvwire.models.load import load
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore


@pytest.fixture(scope="session")
def text():
    """Enough of it for ten pieces."""
    return (Path(__file__).parents[2] / "LICENSE").read_text() * 5


@pytest.fixture(scope="session")
def side():
    """Loads a folder's model as one that reads texts."""

    def loaded(folder, dtype=torch.float32):
        stored = ModelStore().pull(ModelReference.parse(f"path:{folder}"))
        return TextReader(load(stored, dtype=dtype, attn_implementation="kvwire"), 2048)

    return loaded


@pytest.fixture(scope="session")
def readings_of(text, tmp_path_factory):
    """Lets both sides read so many pieces of the text; their files, a pair per piece."""

    def read(sides, count):
        folders = [tmp_path_factory.mktemp("readings") for _ in sides]
        found = [collect(side, text, count, at, lambda *_: None) for side, at in zip(sides, folders, strict=True)]
        return list(zip(*found, strict=True))

    return read
