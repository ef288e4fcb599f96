"""``hf:`` models as far as they can be tested without the hub: what is asked for, and what being offline says."""

import pytest
from huggingface_hub import constants

from kvwire.errors import StoreError
from kvwire.models.hub import snapshot_arguments
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore


def test_a_reference_asks_for_its_revision_and_for_no_pickle():
    """Only safetensors weights, and the files that describe them, are ever wanted."""
    arguments = snapshot_arguments(ModelReference.parse("hf:Qwen/Qwen3-0.6B@c1899de"))
    assert (arguments["repo_id"], arguments["revision"]) == ("Qwen/Qwen3-0.6B", "c1899de")
    assert "*.safetensors" in arguments["allow_patterns"]
    assert not any(pattern.endswith((".bin", ".pt", ".py")) for pattern in arguments["allow_patterns"])


@pytest.mark.parametrize(
    ("setting", "value"), [("HF_HUB_OFFLINE", True), ("ENDPOINT", "http://127.0.0.1:9")], ids=["offline", "refused"]
)
def test_without_a_hub_the_pull_says_so(setting, value, monkeypatch, tmp_path, progress):
    """Nothing half-made stays behind, and the message names the reference and the way out."""
    monkeypatch.setattr(constants, setting, value)
    store = ModelStore(tmp_path, progress=progress)
    with pytest.raises(StoreError, match=r"hf:Qwen/Qwen3-0\.6B@main from the hub.*path:DIR"):
        store.pull("hf:Qwen/Qwen3-0.6B")
    assert store.list() == ()
