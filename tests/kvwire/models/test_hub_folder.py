"""Folders of a hub repository, as far as they can be tested without the hub."""

import pytest
from httpx2 import Request, Response
from huggingface_hub import constants
from huggingface_hub.errors import RepositoryNotFoundError

from kvwire.errors import InvalidRequestError, NotFoundError, StoreError
from kvwire.models import hub
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


def test_a_repository_that_the_hub_does_not_have_is_not_found(monkeypatch):
    """And the network is not blamed."""

    def absent(*_, **__):
        raise RepositoryNotFoundError("404", response=Response(404, request=Request("GET", "https://hub")))

    monkeypatch.setattr(hub, "snapshot_download", absent)
    with pytest.raises(NotFoundError, match="check name and revision"):
        fetch_folder(f"hf:o/n@{COMMIT}/d")
