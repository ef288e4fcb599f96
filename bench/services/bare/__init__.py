"""The services with nothing counted, ``python -m bench.services.bare.sharer``: to measure what metrics cost."""

import runpy

from kvwire.rpc import interceptors
from kvwire.telemetry import Metrics


def run(module: str) -> None:
    """Run a service's module whose metrics stay empty."""
    Metrics.count = Metrics.count_share = _nothing  # type: ignore[method-assign]  # what is left out
    call = interceptors._Call  # noqa: SLF001  # the same
    call.__init__ = _nothing  # type: ignore[method-assign]
    call.trace = _nothing  # type: ignore[method-assign]
    call.ended = _nothing  # type: ignore[method-assign]
    call.sent = 0
    runpy.run_module(module, run_name="__main__")


def _nothing(*_: object, **__: object) -> None:
    pass
