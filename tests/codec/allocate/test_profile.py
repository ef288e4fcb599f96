"""The file of a sensitivity profile."""

import json
from dataclasses import replace

import pytest

from codec.allocate.profile import Profile, file_name
from codec.allocate.profiles import Profiles
from kvwire.errors import BindingError

WEIGHTS = bytes(range(32))
PROFILE = Profile(
    "a model", WEIGHTS, 512, 32, 4, ("int4", "int8"), (((0.5, 0.0), (0.25, 1e-7)),) * 2, (((0.1,), (0.2,)),) * 2
)


def test_a_file_reads_back_as_it_was_written(tmp_path):
    """To the last bit of every number."""
    (tmp_path / file_name(WEIGHTS)).write_text(PROFILE.to_json())
    assert Profiles(tmp_path).of(WEIGHTS, "a model") == PROFILE


def test_a_file_of_before_heads_were_measured_is_read():
    """It has none."""
    found = json.loads(PROFILE.to_json())
    del found["heads"]
    assert Profile.parse(json.dumps(found), "file") == replace(PROFILE, heads=())


def test_a_missing_profile_says_how_to_make_one(tmp_path):
    """By the command's name."""
    with pytest.raises(BindingError, match="kvwire codec profile"):
        Profiles(tmp_path).of(WEIGHTS, "a model")


def test_a_profile_of_another_model_is_refused(tmp_path):
    """Even under this one's file name."""
    other = bytes(32)
    (tmp_path / file_name(other)).write_text(PROFILE.to_json())
    with pytest.raises(BindingError, match="other weights"):
        Profiles(tmp_path).of(other, "a model")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "x"),
        ("version", 2),
        ("weights", "xx"),
        ("codecs", ["int4"]),
        ("codecs", ["int4", "no"]),
        ("divergences", [[[1, 2], [1]]]),
        ("divergences", [[[1, -2], [1, 2]]]),
        ("divergences", [[[1, float("nan")], [1, 2]]]),
        ("divergences", []),
        ("tokens", None),
        ("tokens", float("inf")),
        ("heads", [[[-1], [1]]]),
        ("heads", [[[1]]]),
    ],
)
def test_a_damaged_profile_is_refused(key, value):
    """Whatever of it is wrong."""
    text = json.dumps({**json.loads(PROFILE.to_json()), key: value})
    with pytest.raises(BindingError, match="make it again"):
        Profile.parse(text, "file")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "1"])
def test_what_is_no_json_object_is_refused(text):
    """Without a trace of Python."""
    with pytest.raises(BindingError, match="is no profile"):
        Profile.parse(text, "file")
