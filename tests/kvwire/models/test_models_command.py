"""``kvwire models``: what it prints."""

import json

import pytest
from typer.testing import CliRunner

from kvwire.cli.models import app
from kvwire.errors import NotFoundError
from kvwire.models.catalog import CATALOG


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a subcommand on an empty store; errors come out as raised, for main() to print."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    return lambda *words: CliRunner().invoke(app, words, catch_exceptions=False).stdout


def test_the_list_shows_what_may_be_pulled_and_on_what_terms(run):
    """Every name in full, and the licences' terms below the table."""
    shown = run("list")
    assert all(name in shown and entry.terms in shown for name, entry in CATALOG.items())


def test_the_list_as_json_has_a_row_per_model(run):
    """Family, size, licence, format and whether it is on disk, for programs."""
    rows = {row["reference"]: row for row in json.loads(run("list", "--json"))}
    assert set(rows) == set(CATALOG)
    assert rows["gemma3-270m"]["family"] == "gemma3_text"
    assert not any(row["on_disk"] for row in rows.values())


def test_pull_prints_the_folder(run, tiny_llama):
    """The last line of a pull can be used in a shell."""
    assert run("pull", f"path:{tiny_llama}") == f"{tiny_llama}\n"


def test_pull_as_json_has_the_fingerprints(run, tiny_llama):
    """Everything a model card binds to is in the answer."""
    (row,) = json.loads(run("pull", f"path:{tiny_llama}", "--json"))
    assert row["path"] == str(tiny_llama)
    assert len(row["weights_fingerprint"]) == len(row["tokenizer_fingerprint"]) == 64


def test_path_prints_where_a_model_lies(run, tiny_llama):
    """For a folder that is the folder itself."""
    assert json.loads(run("path", f"path:{tiny_llama}", "--json"))["path"] == str(tiny_llama)


def test_path_of_a_model_that_was_not_pulled_is_an_error(run):
    """Nothing is pulled on the quiet."""
    with pytest.raises(NotFoundError, match="kvwire models pull smollm2-135m"):
        run("path", "smollm2-135m")
