"""Environments of peers: made whole or made again."""

import pytest

from bench.peers import environments
from bench.peers.catalog import PEERS, Peer, peer
from kvwire.errors import NotFoundError, StoreError, UnavailableError


@pytest.mark.parametrize("known", PEERS, ids=lambda known: known.name)
def test_a_peer_is_pinned_to_the_release_it_is_measured_in(known):
    """So is all that its environment holds."""
    lines = known.requirements.read_text().splitlines()
    assert lines[0] == f"{known.name}=={known.version}"
    assert "torch==2.13.0" in lines
    assert all(line.count("==") == 1 for line in lines)
    assert known.driver.exists()


def test_an_unknown_peer_is_told_the_known_ones():
    """By name."""
    with pytest.raises(NotFoundError, match="lmcache"):
        peer("nobody")


class Pinned(Peer):
    """A made-up peer that needs nothing, so that no index is asked."""

    requirements = property(lambda self: self.pins)


def test_an_environment_of_other_pins_is_made_again(tmp_path, monkeypatch):
    """And one of these pins is not."""
    made = []
    monkeypatch.setattr(environments, "_run", lambda command, _: made.append(command[2]) or _folder(tmp_path))
    Pinned.pins = tmp_path / "pins.txt"
    Pinned.pins.write_text("")
    one = Pinned("one", "1", "one", ())
    environments.install(one, tmp_path)
    environments.install(one, tmp_path)
    assert len(made) == 3
    Pinned.pins.write_text("# others")
    with pytest.raises(UnavailableError):
        environments.python_of(one, tmp_path)
    environments.install(one, tmp_path)
    assert len(made) == 6
    assert environments.python_of(one, tmp_path) == tmp_path / "peers" / "one" / "bin" / "python"


def _folder(home):
    (home / "peers" / "one").mkdir(parents=True, exist_ok=True)


@pytest.mark.slow
def test_an_environment_that_pip_cannot_fill_is_none(tmp_path):
    """What pip said is passed on."""
    Pinned.pins = tmp_path / "pins.txt"
    Pinned.pins.write_text("./there-is-no-such-wheel-1-py3-none-any.whl")
    one = Pinned("one", "1", "one", ())
    with pytest.raises(StoreError, match="one could not be installed"):
        environments.install(one, tmp_path)
    with pytest.raises(UnavailableError):
        environments.python_of(one, tmp_path)
