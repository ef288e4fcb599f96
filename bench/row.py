"""One line of the bench's result: a codec on a model's caches of one length, or why there is none."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from bench.candidate import Name
from bench.quality import Change
from bench.speed import Times
from experiments.statistics.bootstrap import Bootstrap

_SEED = 0


@dataclass(frozen=True)
class Row:
    """Means over documents. ``kl`` is KL(uncompressed || coded) in nats per token, ``kl_ci95`` its 95 % interval.

    ``top1`` is the share of tokens after which the most likely one is still the same. Speeds are GB/s of the cache
    counted as bfloat16, all layers of the first document one after the other, the best of several runs.
    """

    codec: str
    model: str
    tokens: int
    bits_per_value: float
    kl: float
    kl_ci95: tuple[float, float]
    top1: float
    encode_gbps: float
    decode_gbps: float
    copy_gbps: float
    documents: int


@dataclass(frozen=True)
class PeerRow(Row):
    """The same of a peer's codec; ``codec`` is what the peer, in ``version``, calls it."""

    peer: str
    version: str


@dataclass(frozen=True)
class Absent:
    """A codec that could not be had or run, and why."""

    codec: str
    model: str
    tokens: int
    peer: str
    version: str
    absent: str


Result = Row | Absent


def name_of(result: Result) -> Name:
    """Whose result it is."""
    if isinstance(result, PeerRow | Absent):
        return Name(result.codec, result.peer, result.version)
    return Name(result.codec)


def row(name: Name, model: str, tokens: int, changes: Sequence[Change], times: Times, gigabytes: float) -> Row:
    """From what each document gave, one at least, and the times that ``gigabytes`` of cache took."""
    kl = np.array([change.kl for change in changes])
    drawn = Bootstrap(len(kl), _SEED).mean(kl) if np.isfinite(kl).all() else None  # it leaves out what is no number
    value, low, high = (drawn.value, drawn.low, drawn.high) if drawn else (float("nan"),) * 3
    own = Row(
        codec=name.codec,
        model=model,
        tokens=tokens,
        bits_per_value=float(np.mean([change.bits_per_value for change in changes])),
        kl=value,
        kl_ci95=(low, high),
        top1=float(np.mean([change.top1 for change in changes])),
        encode_gbps=gigabytes / times.encode_s,
        decode_gbps=gigabytes / times.decode_s,
        copy_gbps=gigabytes / times.copy_s,
        documents=len(changes),
    )
    return PeerRow(**asdict(own), peer=name.peer, version=name.version) if name.peer else own
