"""Loading: plain torch modules, ready to run, and a silent console."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from kvwire.errors import StartError, StoreError
from kvwire.models.load import load
from kvwire.models.store import ModelStore


@pytest.fixture
def stored(tmp_path, tiny_llama):
    folder = shutil.copytree(tiny_llama, tmp_path / "mine")
    return ModelStore(tmp_path / "home").pull(f"path:{folder}")


def test_a_loaded_model_is_ready_to_run(stored):
    """Evaluation mode, no gradients, the asked dtype, and the tokenizer of the same folder."""
    loaded = load(stored, dtype=torch.bfloat16)
    assert not loaded.model.training
    assert {(value.dtype, value.requires_grad) for value in loaded.model.parameters()} == {(torch.bfloat16, False)}
    assert loaded.tokenizer.decode(loaded.tokenizer("some words").input_ids) == "some words"
    assert loaded.stored is stored


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_implementation_is_passed_on(attention, stored):
    """The engine chooses how attention runs."""
    loaded = load(stored, dtype=torch.float32, attn_implementation=attention)
    assert loaded.model.config._attn_implementation == attention


def test_loading_prints_nothing(stored, capfd):
    """No bars and no advice of the model library reach the console."""
    load(stored, dtype=torch.float32)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("device", ["cuda:99", "toaster"])
def test_a_device_that_is_not_there_stops_the_start(device, stored):
    """The message repeats the name and says what to use."""
    with pytest.raises(StartError, match=f"'{device}'.*cpu"):
        load(stored, dtype=torch.float32, device=device)


def test_weights_that_were_cut_since_do_not_load(stored):
    """A file that is no longer whole is the store's fault, not a crash."""
    weights = stored.path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match="fetch it again"):
        load(stored, dtype=torch.float32)


def test_a_model_that_lacks_weights_is_refused(stored):
    """Transformers would fill them with random numbers."""
    weights = stored.path / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(StoreError, match=r"lacks 1 weights .* first model\.layers\.1\.mlp\.up_proj\.weight"):
        load(stored, dtype=torch.float32)


def test_a_family_that_transformers_does_not_know_is_the_stores_fault(stored):
    """In its own words."""
    config = stored.path / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"of_next_year"'))
    with pytest.raises(StoreError, match="of_next_year"):
        load(stored, dtype=torch.float32)
