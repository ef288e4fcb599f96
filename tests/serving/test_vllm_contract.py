"""The connector is what vLLM 0.33 says that a connector is: its base class's names, parameters and abstract methods."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from tests.serving import signatures

ROOT = Path(__file__).parents[2]
CONNECTOR = ROOT / "serving/vllm_connector.py"


@pytest.fixture
def base(published):
    """The base's methods, each as one line."""
    return published.classes["KVConnectorBase_V1"]["methods"]


@pytest.fixture
def defined(connector_class):
    """What the connector defines itself and others may call."""
    return [
        name
        for name, member in vars(connector_class).items()
        if callable(getattr(member, "fget", member)) or isinstance(member, (classmethod, property))
        if not name.startswith("_") or name == "__init__"
    ]


def test_nothing_abstract_is_left(connector_class, base):
    """All seven are overridden, so the class can be made."""
    abstract = {name for name, line in base.items() if line.startswith("abstract ")}
    assert len(abstract) == 7
    assert abstract <= vars(connector_class).keys()
    assert not inspect.isabstract(connector_class)


def test_every_method_is_one_of_the_base(defined, base):
    """A name that vLLM does not know would never be called."""
    assert len(defined) > 7
    assert set(defined) <= set(base)


def test_parameters_are_those_of_the_base(connector_class, defined, base):
    """Names, order, kinds and defaults: vLLM calls some by position and some by name."""
    for name in defined:
        assert signatures.of_class(connector_class, name) == base[name].removeprefix("abstract "), name


def test_a_parameter_of_another_name_is_noticed(connector_class, base):
    """The comparison above can fail."""

    class Other(connector_class):
        def wait_for_layer_load(self, layer):
            """A parameter of another name."""

        @classmethod
        def save_kv_layer(cls, layer_name, kv_layer, attn_metadata, **kwargs):
            """Another kind."""

    for name in ("wait_for_layer_load", "save_kv_layer"):
        assert signatures.of_class(Other, name) != base[name].removeprefix("abstract ")


def test_what_is_read_off_the_base_is_there(published):
    """Private attributes and methods too, which other connectors of vLLM use as well."""
    known = {*published.classes["KVConnectorBase_V1"]["names"], *published.classes["KVConnectorBase_V1"]["methods"]}
    assert {"_kv_transfer_config", "_get_connector_metadata", "_cache_hit_source"} <= known
    assert "DISK" in published.classes["CacheHitSource"]["names"]
    assert published.classes["KVTransferConfig"]["methods"]["get_from_extra_config"] == "method (self, key, default)"


def test_the_docs_and_the_module_name_the_version(published):
    """And say plainly that it was not run."""
    version = published.snapshot["version"].rpartition(".")[0]
    for file in (CONNECTOR, ROOT / "docs/serving.md"):
        text = " ".join(file.read_text().split())
        assert f"vLLM {version}" in text
        assert re.search(r"[Nn]ot run inside vLLM, and not on a GPU", text)


def test_kvwire_does_not_need_vllm():
    """Nothing depends on it, and one module alone imports it."""
    assert "vllm" not in (ROOT / "pyproject.toml").read_text().replace('"vllm.*"', "")
    importing = [
        file.relative_to(ROOT)
        for package in ("kvwire", "codec", "fuser", "serving", "receiver_service", "sharer_service")
        for file in (ROOT / package).rglob("*.py")
        if re.search(r"^\s*(from|import) vllm\b", file.read_text(), re.MULTILINE)
    ]
    assert importing == [CONNECTOR.relative_to(ROOT)]


def test_the_snapshot_is_of_the_vllm_that_is_installed(published):
    """Where there is one; elsewhere tests/serving/signatures.py reads a wheel."""
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed: its sources were not compared with the snapshot")
    folder = Path(importlib.util.find_spec("vllm").origin).parents[1]
    for path, names in signatures.SOURCES.items():
        for name in names:
            found = signatures.of_source((folder / path).read_bytes(), name)
            assert found == published.classes[name], f"{path} has changed: {name}; run tests/serving/signatures.py"
