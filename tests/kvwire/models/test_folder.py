"""``path:`` models are read where they lie and described by their content."""

import json
import shutil
from pathlib import Path

import pytest

from kvwire.errors import NotFoundError, StoreError
from kvwire.models.store import ModelStore


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "home")


@pytest.fixture
def folder(tmp_path, tiny_llama):
    return shutil.copytree(tiny_llama, tmp_path / "mine")


def test_a_folder_is_used_in_place(store, folder):
    """Nothing is copied; path and description are the folder's own."""
    stored = store.pull(f"path:{folder}")
    assert stored.path == store.path(f"path:{folder}") == folder
    assert (stored.family, stored.weight_format) == ("llama", "safetensors F32")
    assert not (store.home / "models").exists()


def test_the_same_weights_have_the_same_id_in_every_folder(store, folder, tiny_llama):
    """Two machines may keep one model in different places."""
    here, there = store.pull(f"path:{folder}"), store.pull(f"path:{tiny_llama}")
    assert here.id == there.id == f"local-llama-{here.weights_fingerprint[:12]}"
    assert here.tokenizer_fingerprint == there.tokenizer_fingerprint


def test_an_unchanged_folder_is_not_hashed_again(store, folder):
    """What was remembered is believed while sizes and times stay."""
    first = store.pull(f"path:{folder}")
    (memory,) = (store.home / "fingerprints").iterdir()
    memory.write_text(memory.read_text().replace(first.weights_fingerprint, "f" * 64))
    assert store.pull(f"path:{folder}").weights_fingerprint == "f" * 64


def test_a_changed_weight_file_changes_the_fingerprint(store, folder):
    """One flipped bit makes another model."""
    before = store.pull(f"path:{folder}")
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    after = store.pull(f"path:{folder}")
    assert after.weights_fingerprint != before.weights_fingerprint
    assert after.tokenizer_fingerprint == before.tokenizer_fingerprint


def test_a_changed_chat_template_changes_the_tokenizer_fingerprint(store, folder):
    """The template decides what the model reads, so it is part of the binding."""
    before = store.pull(f"path:{folder}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    after = store.pull(f"path:{folder}")
    assert after.weights_fingerprint == before.weights_fingerprint
    assert after.tokenizer_fingerprint != before.tokenizer_fingerprint


def test_another_spelling_of_the_tokenizer_file_is_the_same_tokenizer(store, folder):
    """Spacing and leftover truncation settings are nobody's binding."""
    before = store.pull(f"path:{folder}")
    rules = json.loads((folder / "tokenizer.json").read_text())
    rules["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(rules, separators=(",", ":")))
    assert store.pull(f"path:{folder}").tokenizer_fingerprint == before.tokenizer_fingerprint


def test_a_folder_that_is_not_there_is_not_found(store, tmp_path):
    """The message repeats the path."""
    with pytest.raises(NotFoundError, match="absent"):
        store.pull(f"path:{tmp_path / 'absent'}")


@pytest.mark.parametrize(
    ("lost", "complaint"),
    [("model.safetensors", "no .safetensors"), ("config.json", "config.json"), ("tokenizer.json", "tokenizer")],
)
def test_a_folder_that_lacks_a_part_says_which(lost, complaint, store, folder):
    """Weights, configuration and tokenizer are all needed; pickled weights do not count."""
    (folder / lost).unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(StoreError, match=complaint):
        store.pull(f"path:{folder}")


def test_a_cut_weight_file_is_refused(store, folder):
    """A safetensors header that promises more bytes than there are is found at once."""
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(StoreError, match=r"model\.safetensors is no whole"):
        store.pull(f"path:{folder}")


def test_two_that_describe_a_folder_at_once_both_have_it(store, folder, monkeypatch):
    """One remembers it while the other is about to: services that start together."""
    replace, other = Path.replace, []

    def after_the_other(self, target):
        monkeypatch.setattr(Path, "replace", replace)
        other.append(store.pull(f"path:{folder}"))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", after_the_other)
    assert [store.pull(f"path:{folder}")] == other
    assert len(list((store.home / "fingerprints").iterdir())) == 1
