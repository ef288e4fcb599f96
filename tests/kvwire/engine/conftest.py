"""Engines over the tiny models."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.engine.question import Begin
from kvwire.engine.worker import Worker
from kvwire.models.load import load
from kvwire.models.store import ModelStore


def engine_of(folder: Path, home: Path, device: str = "cpu") -> Engine:
    stored = ModelStore(home).pull(f"path:{folder}")
    loaded = load(stored, dtype=torch.float32, device=device, attn_implementation=IMPLEMENTATION)
    return Engine(loaded, max_tokens=512)


def begun(engine: Engine, tokens: Sequence[int]) -> Begin:
    """Where an answer begins once these were read."""
    cache = engine.new_cache()
    return Begin(cache, engine.next_logits(tokens, cache, 0), len(tokens))


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
