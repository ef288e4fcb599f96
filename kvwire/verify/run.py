"""Serves a folder's models with two processes, asks every case over the wire in fp32, and compares."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds
from kvwire.rpc.inspection import Inspected, inspect
from kvwire.verify.folders import Expected, Folder, read_folder

_SERVICE = [*FREE_PORTS, "--threads", "1", "--log-level", "warning"]


@dataclass(frozen=True)
class Compared:
    """Largest absolute differences from what was expected; None where nothing was. ``payload_bytes``: of all cases."""

    cases: tuple[str, ...]
    logits_max_abs_diff: float | None
    kv_max_abs_diff: float | None
    tokens_equal: bool | None
    payload_bytes: int

    def within(self, tolerance: float) -> bool:
        """Whether all that was compared agrees."""
        differences = (self.logits_max_abs_diff, self.kv_max_abs_diff)
        return self.tokens_equal is not False and all(each is None or each < tolerance for each in differences)


async def verify(folder: Path) -> Compared:
    """Check a folder; its models are served from it, or made in a temporary place.

    Raises:
        NotFoundError, DataLossError: It holds no whole cases.
        StartError: A service did not start, for one because the fuser does not load.
        KvwireError: A case was refused.
    """
    with tempfile.TemporaryDirectory() as scratch:
        ready = read_folder(folder, Path(scratch))
        return _compared(ready.cases, await _asked(ready))


async def _asked(folder: Folder) -> list[Inspected]:
    with running_service("sharer_service", ["--model", f"path:{folder.sharer.resolve()}", *_SERVICE]) as sharer:
        arguments = ["--model", f"path:{folder.receiver.resolve()}", "--sharers", f"sharer={sharer.address}"]
        arguments += ["--fusers", f"fuser={folder.fuser.resolve()}", "--inspect", *_SERVICE]
        with running_service("receiver_service", arguments) as receiver:
            return [await inspect(receiver.address, _request(case)) for case in folder.cases]


def _request(case: Expected) -> GenerateRequest:
    method = Method.FUSE if case.fused else Method.RECEIVER_ONLY
    exchange = Exchange(method, codec="fp32", fuser="fuser")
    return GenerateRequest(
        TokenIds(case.prompt),
        exchange=exchange,
        max_new_tokens=len(case.tokens) or 1,
        ignore_eos=True,
    )


def _compared(cases: Sequence[Expected], found: Sequence[Inspected]) -> Compared:
    pairs = list(zip(cases, found, strict=True))
    logits = [_difference(got.logits, case.logits) for case, got in pairs if case.logits is not None]
    caches = [
        _difference(half[:, : expected.shape[1]], expected)
        for case, got in pairs
        for layer, (keys, values) in case.cache.items()
        for half, expected in ((got.keys[layer], keys), (got.values[layer], values))
    ]
    tokens = [got.tokens == case.tokens for case, got in pairs if case.tokens]
    return Compared(
        cases=tuple(case.name for case in cases),
        logits_max_abs_diff=_largest(logits),
        kv_max_abs_diff=_largest(caches),
        tokens_equal=all(tokens) if tokens else None,
        payload_bytes=sum(got.report.bytes.payload_bytes for got in found if got.report.bytes is not None),
    )


def _difference(got: Tensor, expected: Tensor) -> float:
    return float((got.double() - expected.double()).abs().max())


def _largest(differences: Sequence[float]) -> float | None:
    """Not a number if one is none, which agrees with nothing; None of none."""
    return float(torch.tensor(differences, dtype=torch.float64).max()) if differences else None
