"""One reference form for every source of models."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError, NotFoundError
from kvwire.models.catalog import CATALOG
from kvwire.models.reference import ModelReference, Source

_name = st.from_regex(r"[A-Za-z0-9][\w.-]{0,20}", fullmatch=True).filter(str.isascii)
_folder = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
_texts = st.one_of(
    st.sampled_from(sorted(CATALOG)),
    st.builds("hf:{}/{}".format, _name, _name),
    st.builds("hf:{}/{}@{}".format, _name, _name, _name),
    st.builds("path:{}".format, _folder),
)


@given(_texts)
@example("path:~0")  # a user nobody knows
def test_a_printed_reference_parses_to_the_same_value(text):
    """str() and parse() are inverse for every source."""
    reference = ModelReference.parse(text)
    assert ModelReference.parse(str(reference)) == reference


def test_a_hub_reference_keeps_name_and_revision():
    """The part after @ is the revision."""
    assert ModelReference.parse("hf:Qwen/Qwen3-0.6B@c1899de") == (
        ModelReference(Source.HUB, "Qwen/Qwen3-0.6B", "c1899de")
    )


def test_a_hub_reference_without_a_revision_means_main():
    """The default is written out, so that what is printed says what is meant."""
    assert str(ModelReference.parse("hf:Qwen/Qwen3-0.6B")) == "hf:Qwen/Qwen3-0.6B@main"


def test_a_folder_is_made_absolute(monkeypatch, tmp_path):
    """Another process, started elsewhere, finds the same folder."""
    monkeypatch.chdir(tmp_path)
    assert ModelReference.parse("path:mine").name == str(tmp_path / "mine")


def test_a_folder_may_start_with_the_users_home():
    """~ is the user's home, as in a shell."""
    assert ModelReference.parse("path:~/mine").name == str(Path.home() / "mine")


def test_an_unknown_name_is_answered_with_the_known_ones():
    """The message lists every name of the catalog and the two prefixes."""
    with pytest.raises(NotFoundError) as caught:
        ModelReference.parse("smollm3")
    assert all(word in str(caught.value) for word in ["'smollm3'", *CATALOG, "hf:", "path:"])


@pytest.mark.parametrize("text", ["hf:", "hf:Qwen", "hf:a/b/c", "hf:a/b@", "hf:../x y", "path:"])
def test_a_malformed_reference_is_refused(text):
    """A prefix without a usable rest is the request's fault."""
    with pytest.raises(InvalidRequestError, match="write"):
        ModelReference.parse(text)
