"""``/live.json?after=N``: what runs, totals since the start, and the requests that ended after number N."""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from prometheus_client import Counter

from kvwire.facts import ended_facts
from kvwire.http_server import Route, reply
from kvwire.model_card import Description
from kvwire.telemetry import Metrics
from receiver_service.live.access import Access
from receiver_service.replicas import Sharers

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

# How long a sharer may take to say which model it runs; asked again with every look until it has.
_DESCRIBE_WITHIN_S = 0.5


class Status:
    """Tells the page what it shows. Made on the event loop, asked on the HTTP port's threads."""

    def __init__(self, metrics: Metrics, description: Description, sharers: Sharers, access: Access) -> None:
        self._metrics = metrics
        self._description = description
        self._sharers = sharers
        self._access = access
        self._loop = asyncio.get_running_loop()
        self._started_at_s = time.time()
        self._started_s = time.monotonic()

    def route(self) -> Route:
        """What answers the path."""
        return Route(self._answer)

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0]
        if not (after.isascii() and after.isdecimal()):
            return reply(start_response, HTTPStatus.BAD_REQUEST, b"after is not a number\n", "text/plain")
        found = {
            "version": self._description.software,
            "started_at_s": self._started_at_s,
            "now_s": time.time(),
            "uptime_s": time.monotonic() - self._started_s,
            "model": self._model(),
            "sharers": self._sharer_models(),
            "breakers": self._breakers(),
            "box": self._box(),
            "totals": self._totals(),
            "requests": [ended_facts(each) for each in self._metrics.recent.after(int(after))],
        }
        return reply(start_response, HTTPStatus.OK, json.dumps(found).encode(), "application/json")

    def _model(self) -> dict[str, Any]:
        card = self._description.card
        return {
            "id": card.binding.id,
            "weight_format": card.weight_format,
            "device": card.device,
            "layers": len(card.layers),
            "kv_heads": card.kv_heads,
            "head_dim": card.head_dim,
        }

    def _sharer_models(self) -> dict[str, str]:
        """Each sharer's model, empty while it does not answer."""
        asked = self._sharers.models(_DESCRIBE_WITHIN_S)
        running = asyncio.run_coroutine_threadsafe(asked, self._loop)
        try:
            return running.result(2 * _DESCRIBE_WITHIN_S)
        except FutureTimeoutError:  # the event loop or a look-up is late; the page asks again in a second
            running.cancel()
            return dict.fromkeys(self._sharers.names, "")

    def _breakers(self) -> dict[str, dict[str, str]]:
        """Of each sharer's addresses, whether it is called: closed, probing, or open."""
        return {
            name: {address: state.name.lower() for address, state in states.items()}
            for name, states in self._sharers.states().items()
        }

    def _box(self) -> dict[str, Any]:
        described = self._description
        return {
            "closed": self._access.closed,
            "wants_token": self._access.wants_token,
            "codecs": described.codecs,
            "fusers": described.fusers,
            "methods": described.methods,
        }

    def _totals(self) -> dict[str, Any]:
        metrics = self._metrics
        [in_flight], [limit] = metrics.in_flight.collect(), metrics.in_flight_limit.collect()
        return {
            "answers": _counted(metrics.answers, "count"),
            "failures": _counted(metrics.failures, "count"),
            "wire": self._wire(),
            "in_flight": int(in_flight.samples[0].value),
            "in_flight_limit": int(limit.samples[0].value),
        }

    def _wire(self) -> list[dict[str, Any]]:
        """Bytes by counter and bits per value, by the method that moved them and the codec's base."""
        found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        for one in _counted(self._metrics.wire_bytes, "bytes"):
            found[one["method"], one["codec"]][f"{one['counter']}_bytes"] = one["bytes"]
        for one in _counted(self._metrics.wire_values, "values"):
            found[one["method"], one["codec"]]["values"] = one["values"]
        return [
            {"method": method, "codec": codec, **moved, "bits_per_value": _bits_per_value(moved)}
            for (method, codec), moved in found.items()
        ]


def _bits_per_value(moved: dict[str, float]) -> float:
    values = moved.get("values", 0.0)
    return 8 * moved.get("payload_bytes", 0.0) / values if values else 0.0


def _counted(counter: Counter, what: str) -> list[dict[str, Any]]:
    """A counter's labels, and what it counted by that name."""
    return [
        {**sample.labels, what: sample.value}
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    ]
