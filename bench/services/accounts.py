"""Whether two services counted what their client saw: requests and bytes exactly, times within bounds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.services.scrape import Scrape
from loadtest.open_loop import Sent

#: A client's clock also sees gRPC and both event loops.
_MEANS_APART = 0.05


@dataclass(frozen=True)
class Check:
    """What was compared, what was found, and whether it is as it should be."""

    name: str
    found: str
    ok: bool


def counts(sent: Sequence[Sent], sharer: Scrape, receiver: Scrape) -> Iterator[Check]:
    """Compare requests that were scored by method ``prefix`` with what both services counted meanwhile."""
    answered = [each for each in sent if each.ok]
    yield Check("no error", f"{len(sent) - len(answered)} of {len(sent)} failed", len(sent) == len(answered))
    moved = [each.outcome.report.bytes for each in answered if each.outcome.report and each.outcome.report.bytes]
    payload, grpc = sum(each.payload_bytes for each in moved), sum(each.grpc_bytes for each in moved)
    ok = {"grpc_code": "OK"}
    pairs = {
        "requests, receiver": (len(answered), receiver.total("grpc_server_handled_total", grpc_method="Score", **ok)),
        "requests, sharer": (len(answered), sharer.total("grpc_server_handled_total", grpc_method="Share", **ok)),
        "answers": (len(answered), receiver.total("kvwire_answers_total", method="prefix", path="prefix")),
        "payload bytes, receiver": (payload, receiver.total("kvwire_wire_bytes_total", counter="payload")),
        "payload bytes, sharer": (payload, sharer.total("kvwire_shared_bytes_total")),
        "gRPC bytes": (grpc, receiver.total("kvwire_wire_bytes_total", counter="grpc")),
    }
    for name, (ours, theirs) in pairs.items():
        yield Check(name, f"client {ours:,}, service {theirs:,.0f}", ours == theirs)


def times(sent: Sequence[Sent], receiver: Scrape) -> Iterator[Check]:
    """Compare what the client's clock saw of them, from sending on, with the receiver's histograms."""
    answered = [each for each in sent if each.ok]
    if not answered:
        return  # there is no time of an answer; that none came is another check
    histograms = {
        "whole call": ("grpc_server_handling_seconds", {"grpc_method": "Score"}, "total_s"),
        "first token": ("kvwire_first_token_seconds", {"method": "prefix"}, "first_token_s"),
    }
    for name, (histogram, labels, attribute) in histograms.items():
        seconds = np.array([getattr(each.outcome, attribute) for each in answered])
        theirs_s = receiver.mean(histogram, **labels)
        apart = float(seconds.mean()) / theirs_s - 1
        found = f"client {1000 * seconds.mean():.1f} ms, service {1000 * theirs_s:.1f} ms, {100 * apart:+.1f} %"
        yield Check(f"mean of {name}", found, abs(apart) <= _MEANS_APART)
        for share in (0.5, 0.95, 0.99):
            value = float(np.quantile(seconds, share))
            away = receiver.buckets_apart(histogram, share, value, **labels)
            yield Check(f"p{100 * share:.0f} of {name}", f"{1000 * value:.1f} ms, {away} buckets apart", away <= 1)
