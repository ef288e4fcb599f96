"""Sweeps on Ray that cannot be: refused with what to do instead, and nothing is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from kvwire.cli.experiment import app
from kvwire.errors import InvalidRequestError, UnsupportedError

KVWIRE = str(Path(sys.executable).with_name("kvwire"))


@pytest.fixture
def refused(tiny_llama, tmp_path):
    """What a sweep on Ray with these options says before it ends."""

    def run(*options):
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'kvwire[ray]'")
        command = [KVWIRE, "experiment", "run", "smoke", "--out", tmp_path / "out", "--engine", "ray", *options]
        command += ["--pair", f"path:{tiny_llama}:path:{tiny_llama}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode != 0
        assert not (tmp_path / "out").exists()
        return " ".join(ended.stderr.split())

    return run


@pytest.mark.slow
def test_more_actors_than_fit_are_refused_before_they_are_waited_for(refused):
    """With what there is and what to lower."""
    said = refused("--actors", "10000")
    assert "of 10000 actors of 1 cores and 0 GPUs only" in said
    assert "lower --actors" in said


@pytest.mark.slow
def test_an_address_without_ray_is_refused_at_once(refused):
    """With what to look at."""
    said = refused("--ray-address", "127.0.0.1:1")
    assert "no Ray at '127.0.0.1:1'" in said
    assert "ray status" in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--actors", "2"], "add --engine ray"),
        (["--ray-address", "auto"], "add --engine ray"),
        (["--engine", "ray", "--workers", "2"], "say --actors for --workers"),
        (["--engine", "ray", "--receiver", "127.0.0.1:1", "--sharer", "127.0.0.1:1"], "start pairs of their own"),
        (["--engine", "ray", "--pair", "alone"], "'alone' is not a pair"),
        (["--engine", "ray", "--ray-address", "ray://head:10001"], "'ray://head:10001' is no address; .*HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path, options, words):
    """Before anything starts, with what to say instead."""
    with pytest.raises(InvalidRequestError, match=words):
        app(["run", "smoke", "--out", str(tmp_path / "out"), *options], standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_without_ray_the_engine_says_what_to_install(tmp_path, monkeypatch):
    """Ray is an extra."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'kvwire\[ray\]'"):
        app(["run", "smoke", "--out", str(tmp_path), "--engine", "ray"], standalone_mode=False)
