"""An engine over the tiny Llama."""

import pytest
import torch

from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.models.load import load
from kvwire.models.store import ModelStore


@pytest.fixture(scope="session")
def engine(tiny_llama, tmp_path_factory):
    """For all tests: what one of them changes, it puts back."""
    stored = ModelStore(tmp_path_factory.mktemp("store")).pull(f"path:{tiny_llama}")
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), max_tokens=512)
