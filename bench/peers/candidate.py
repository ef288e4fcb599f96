"""A peer's codec as the bench sees it: a cache goes out to its environment as a file, and comes back as one."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.candidate import Candidate, Name
from bench.peers.catalog import PEERS, Peer
from bench.peers.environments import python_of
from bench.peers.process import Job, PeerProcess
from bench.quality import Change, Reader
from bench.speed import Times
from codec.layer import LayerKV
from codec.spec import RopePhase
from kvwire.errors import UnavailableError


class Session:
    """One peer and one model; the peer's process starts with its first job and ends with ``stack``."""

    def __init__(self, peer: Peer, home: Path, model: Path, stack: ExitStack) -> None:
        self.peer = peer
        self._home = home
        self._model = model
        self._stack = stack

    @cached_property
    def process(self) -> PeerProcess:
        """Where jobs go.

        Raises:
            UnavailableError: The peer is not installed.
        """
        python = python_of(self.peer, self._home)
        process = PeerProcess(python, self.peer.driver, self._model, torch.get_num_threads())
        return self._stack.enter_context(process)


class PeerCodec:
    """One codec of a peer."""

    def __init__(self, session: Session, codec: str) -> None:
        self.name = Name(codec, session.peer.name, session.peer.version)
        self._session = session

    def send(self, reader: Reader, budget_s: float | None) -> tuple[Change, Times | None]:
        """See :class:`bench.candidate.Candidate`.

        Raises:
            UnavailableError: The peer is not installed, or it failed.
        """
        with tempfile.TemporaryDirectory(prefix="kvwire-peer-") as folder:
            job = Job(self.name.codec, Path(folder) / "cache", Path(folder) / "decoded", budget_s)
            save_file(_cache(reader), job.cache)
            answer = self._session.process.run(job)
            decoded = load_file(job.decoded)
        size = int(answer["bytes"])
        change = reader.changed(_layers(decoded, reader.layers), size)
        if budget_s is None:
            return change, None
        return change, Times(answer["encode_s"], answer["decode_s"], answer["copy_s"], size)


@contextmanager
def peer_codecs(home: Path, model: Path) -> Iterator[list[Candidate]]:
    """All codecs of all peers, whether they can be had or not; their processes end with the context."""
    with ExitStack() as stack:
        sessions = [Session(peer, home, model, stack) for peer in PEERS]
        yield [PeerCodec(session, codec) for session in sessions for codec in session.peer.codecs]


def _cache(reader: Reader) -> dict[str, Tensor]:
    return {
        "keys": torch.stack([kv.keys.float() for kv in reader.layers]),
        "values": torch.stack([kv.values.float() for kv in reader.layers]),
        "ids": torch.tensor(reader.document.prefix),
    }


def _layers(decoded: dict[str, Tensor], sent: list[LayerKV]) -> list[LayerKV]:
    """The peer's tensors as layers, if they can be what was sent."""
    heads, tokens, head_dim = sent[0].keys.shape
    slots = decoded.get("slots")
    shape = (len(sent), heads, tokens if slots is None else slots.shape[-1], head_dim)
    for name in ("keys", "values"):
        if name not in decoded or tuple(decoded[name].shape) != shape:
            raise UnavailableError(f"its {name} did not come back as {shape}")
        if not decoded[name].isfinite().all():
            raise UnavailableError(f"its {name} came back with NaN or infinity")
    if slots is not None:
        slots, order = slots.sort(dim=-1)
        decoded = {name: decoded[name].gather(2, order[..., None].expand(shape)) for name in ("keys", "values")}
    return [
        LayerKV(
            *(kv.layer, decoded["keys"][at], decoded["values"][at], RopePhase.POST, tokens),
            slots=None if slots is None else slots[at],
        )
        for at, kv in enumerate(sent)
    ]
