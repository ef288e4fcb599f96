"""Folders of a hub repository, as far as they can be tested without the hub."""

import pytest
from huggingface_hub import constants

from kvwire.errors import InvalidRequestError, StoreError
from kvwire.models.hub_folder import fetch_folder, resolve_folder

COMMIT = "f01fc3258b305e280e04c7238f4f2cf31b7dc70d"


@pytest.mark.parametrize(
    "reference", ["hf:o/n/d", "hf:o/n@main/d", "o/n@" + COMMIT + "/d", f"hf:o/n@{COMMIT}", f"hf:o/n@{COMMIT}/../d e"]
)
def test_only_a_folder_of_a_commit_is_taken(reference):
    """A branch moves."""
    for ask in (fetch_folder, resolve_folder):
        with pytest.raises(InvalidRequestError, match="hf:OWNER/NAME@COMMIT/FOLDER"):
            ask(reference)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("HF_HUB_OFFLINE", True), pytest.param("ENDPOINT", "http://127.0.0.1:9", marks=pytest.mark.slow)],
)
def test_without_a_hub_it_says_what_it_could_not_fetch(setting, value, monkeypatch):
    """By the whole reference; names of official checkpoints have a plus."""
    monkeypatch.setattr(constants, setting, value)
    reference = f"hf:nics-efc/C2C_Fuser@{COMMIT}/qwen3_0.6b+qwen2.5_0.5b_Fuser"
    for ask in (fetch_folder, resolve_folder):
        with pytest.raises(StoreError) as refused:
            ask(reference)
        assert reference in str(refused.value)
