"""A request on its way through a service: asked, prepared by its method, ready to answer from."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from kvwire.report import Report
from kvwire.requests import Exchange, Input, RequestInfo


@dataclass(frozen=True)
class Prepared:
    """A cache that lacks only what is read last, at least one token, before the answer.

    ``unread`` stand from ``position`` on; ``stage`` is what reading them is called; ``report``: what is known so far,
    without the receiver's stages.
    """

    cache: PositionedCache
    unread: tuple[int, ...]
    position: int
    report: Report
    stage: str = "prompt"

    @property
    def end(self) -> int:
        """Where the answer's first token stands."""
        return self.position + len(self.unread)


@dataclass(frozen=True)
class Begin:
    """A cache with everything read; ``logits``, ``(vocabulary,)`` float32, are of the token at ``position``."""

    cache: PositionedCache
    logits: Tensor
    position: int


@dataclass(frozen=True)
class Ready(Begin):
    """Where an answer begins, and what is known of its request so far."""

    report: Report


@dataclass(frozen=True)
class Question:
    """A request on its way: what is asked, room to leave for the answer, when to stop, and where the time goes.

    ``reserve_bytes``: memory the answer takes beside its cache. ``streams``: its last tokens may be read while its
    cache comes; otherwise they are left, to be read beside others'.
    """

    info: RequestInfo
    context: Input | None
    prompt: Input
    exchange: Exchange
    reserve_tokens: int
    task: Task
    watch: Stopwatch
    reserve_bytes: int = 0
    streams: bool = True

    def bytes_of(self, engine: Engine, tokens: int) -> int:
        """Memory it may take in all if so many tokens are read before the answer."""
        return engine.answer_bytes(tokens + self.reserve_tokens) + self.reserve_bytes


class Preparation(Protocol):
    """Reads a question by its method; the sharer and the receiver each have their own."""

    async def __call__(self, question: Question) -> Prepared | Ready:
        """Read the question, but for its last tokens unless it streams."""
        ...
