"""``hf:`` models as far as they can be tested without the hub: what is asked for, and what being offline says."""

import pytest
from httpx2 import RemoteProtocolError
from huggingface_hub import constants
from huggingface_hub.file_download import DryRunFileInfo

from kvwire.errors import StoreError
from kvwire.models import hub
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
    with pytest.raises(StoreError, match=r"hf:Qwen/Qwen3-0\.6B@main from the hub.*folder of this machine"):
        store.pull("hf:Qwen/Qwen3-0.6B")
    assert store.list() == ()


@pytest.mark.parametrize("error", [RemoteProtocolError("cut off"), RuntimeError("cut off"), OSError("cut off")])
def test_a_download_that_breaks_off_is_told_whatever_the_hub_library_raises(error, monkeypatch, tmp_path, progress):
    """Its HTTP library's errors are no OSError."""

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(hub, "snapshot_download", broken)
    with pytest.raises(StoreError, match=r"cannot fetch hf:o/n@main from the hub: cut off"):
        ModelStore(tmp_path, progress=progress).pull("hf:o/n")


def test_a_repository_without_safetensors_is_refused_before_anything_is_fetched(monkeypatch):
    """Whatever else it has."""
    config = DryRunFileInfo("c" * 40, 700, "config.json", "", is_cached=False, will_download=True)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: [config])
    with pytest.raises(StoreError, match="hf:o/n@main has no safetensors files"):
        hub.resolve(ModelReference.parse("hf:o/n"))
