"""Model cards as files."""

import json

import pytest

from kvwire.errors import StartError
from serving.card_file import main, read_card, write_card


def test_a_card_is_read_as_it_was_written(llama, tmp_path):
    """Fingerprints, angles and layers."""
    write_card(llama.card, tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == llama.card


def test_the_command_writes_the_card_of_a_model(llama, tiny_llama, tmp_path):
    """By the name the store knows it by."""
    main(f"path:{tiny_llama}", tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == llama.card


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("layers"),
        lambda card: card.update(kv_heads="two"),
        lambda card: card["binding"].update(weights_fingerprint="xyz"),
        lambda card: card.pop("binding"),
    ],
)
def test_a_file_that_is_no_card_is_refused(llama, tmp_path, change):
    """With its path and how to make one."""
    path = tmp_path / "card.json"
    write_card(llama.card, path)
    card = json.loads(path.read_text())
    change(card)
    path.write_text(json.dumps(card))
    with pytest.raises(StartError, match=r"is no model card.*serving\.card_file"):
        read_card(path)


@pytest.mark.parametrize("text", [None, "", "[]", "{"])
def test_a_file_that_is_missing_or_no_json_is_refused(tmp_path, text):
    """The same way."""
    path = tmp_path / "card.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartError, match="is no model card"):
        read_card(path)
