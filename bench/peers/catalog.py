"""Who is measured beside this project's codecs, in which release, by which of its codecs."""

from dataclasses import dataclass
from pathlib import Path

from kvwire.errors import NotFoundError

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A project on PyPI; ``file`` names its driver and its requirements, ``codecs`` are names that its driver knows."""

    name: str
    version: str
    file: str
    codecs: tuple[str, ...]

    @property
    def requirements(self) -> Path:
        """Every package of its environment, pinned."""
        return _HERE / "requirements" / f"{self.file}.txt"

    @property
    def driver(self) -> Path:
        """Calls its codecs."""
        return _HERE / "drivers" / f"{self.file}.py"


PEERS = (
    Peer("lmcache", "0.5.6", "lmcache", ("cachegen",)),
    Peer(
        "aither-kvcache",
        "2.4.1",
        "aither",
        (*(f"turboquant:bits={bits}" for bits in (2, 3, 4)), "hybrid:mode=tq25", "hybrid:mode=tq35"),
    ),
    Peer("nexusquant-kv", "0.6.3", "nexusquant", ("k2v2", "k3v2", "k3v3", "k4v4")),
    Peer("kvcodec", "0.1.0", "kvcodec", ("seq", "layer", "joint")),
    Peer(
        "kvpress",
        "0.5.5",
        "kvpress",
        tuple(f"{press}:ratio={ratio}" for press in ("expected_attention", "snapkv", "knorm") for ratio in (0.5, 0.75)),
    ),
)


def peer(name: str) -> Peer:
    """By its name on PyPI.

    Raises:
        NotFoundError: Nobody is called that.
    """
    for known in PEERS:
        if known.name == name:
            return known
    raise NotFoundError(f"no peer is called {name!r}; known: {', '.join(known.name for known in PEERS)}")
