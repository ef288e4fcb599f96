"""Engines over the tiny models."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Worker
from kvwire.models.load import load
from kvwire.models.store import ModelStore


def engine_of(folder: Path, home: Path) -> Engine:
    stored = ModelStore(home).pull(f"path:{folder}")
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), max_tokens=512)


@pytest.fixture(scope="session", params=["tiny_llama", "tiny_gemma", "tiny_qwen2"])
def family(request: pytest.FixtureRequest) -> Path:
    """Folder of each tiny model in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def engine(family: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine over each tiny model in turn."""
    return engine_of(family, tmp_path_factory.mktemp("store"))


@pytest.fixture
def worker():
    """A compute thread that nobody else works on."""
    made = Worker(max_in_flight=8)
    yield made
    made.close()


@pytest.fixture(scope="session")
def reference(family: Path):
    """The same model in float64, run by transformers alone; 40 tokens are five windows of the tiny Gemma."""
    model = AutoModelForCausalLM.from_pretrained(family, dtype=torch.float64, attn_implementation="eager").eval()

    def logits(tokens):
        with torch.inference_mode():
            return model(torch.tensor([list(tokens)]), use_cache=False).logits[0]

    return logits
