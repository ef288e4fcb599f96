"""What came of a request, as values: tokens, scores, and a report of bytes and time."""

from dataclasses import dataclass, field, replace
from typing import Self

from kvwire.requests import Method


@dataclass(frozen=True)
class Token:
    """One generated token; ``logprob`` is the natural log of its probability."""

    id: int
    text: str
    logprob: float


@dataclass(frozen=True)
class ContinuationScore:
    """Per-token log-likelihoods (natural log) of one continuation; ``characters`` is its length as text.

    ``kl_nats`` and ``same_top1`` compare each next-token distribution with a kept one, if that was asked for.
    """

    index: int
    token_ids: tuple[int, ...]
    token_logprobs: tuple[float, ...]
    characters: int
    kl_nats: tuple[float, ...] = ()
    same_top1: tuple[bool, ...] = ()


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of one request, by part."""

    head: int = 0
    context: int = 0
    prompt: int = 0
    generated: int = 0
    relayed: int = 0
    slots: int = 0


@dataclass(frozen=True)
class Spared:
    """Numbers that were not sent: nobody needs them, or they are ``held`` already.

    ``bytes`` is computed, at the rate of those that were sent; of a held cache, what it took when it was.
    """

    what: str
    values: int
    bytes: int


@dataclass(frozen=True)
class ByteCounts:
    """Bytes between sharer and receiver; docs/wire-format.md defines each counter."""

    payload_bytes: int = 0
    grpc_bytes: int = 0
    socket_sent_bytes: int = 0
    socket_received_bytes: int = 0
    socket_isolated: bool = False
    values: int = 0
    formula_bytes: float = 0.0
    spared: tuple[Spared, ...] = ()

    @property
    def socket_bytes(self) -> int:
        """Kernel counters of the connection, both directions."""
        return self.socket_sent_bytes + self.socket_received_bytes

    @property
    def bits_per_value(self) -> float:
        """Payload bits per key or value number before pruning; 0 when no cache moved."""
        return 8 * self.payload_bytes / self.values if self.values else 0.0


@dataclass(frozen=True)
class StageTiming:
    """Duration of one stage in seconds, by the clock of the side ("sharer" or "receiver") it ran on."""

    name: str
    side: str
    seconds: float


#: How an answer's reason begins that was made another way because the sharer failed.
FELL_BACK = "fell back"


@dataclass(frozen=True)
class Report:
    """What happened to one request.

    ``tries``: calls made to sharers, those that failed included; ``sharer_addresses``: of those whose work is in it;
    ``layers_needed`` and ``layers_came``: sharer layers that were to come, and that came; ``answered_at``: the address
    that a client found it at, empty until it comes to one.
    """

    request_id: str
    method: Method
    path: Method
    reason: str = ""
    codec: str = ""
    fuser: str = ""
    tokens: TokenCounts = field(default_factory=TokenCounts)
    bytes: ByteCounts | None = None
    stages: tuple[StageTiming, ...] = ()
    sharer_model: str = ""
    answering_model: str = ""
    tries: int = 0
    sharer_addresses: tuple[str, ...] = ()
    layers_needed: int = 0
    layers_came: int = 0
    answered_at: str = ""

    @property
    def partial(self) -> bool:
        """Whether it was made from less of a cache than was to come."""
        return self.layers_came < self.layers_needed

    @property
    def fell_back(self) -> bool:
        """Whether a fault had it made another way; a policy's choice of another way is none."""
        return self.reason.startswith(FELL_BACK)

    def stage_s(self, name: str, side: str | None = None) -> float | None:
        """Seconds of the named stage, summed over its occurrences; None if it did not run."""
        found = [s.seconds for s in self.stages if s.name == name and side in (None, s.side)]
        return sum(found) if found else None

    def with_stages(self, *stages: StageTiming) -> Self:
        """The same report with stages added."""
        return replace(self, stages=(*self.stages, *stages))


@dataclass(frozen=True)
class Scored:
    """What scoring a request gave; ``first_token`` is what greedy decoding would emit."""

    first_token: Token
    scores: tuple[ContinuationScore, ...]
    report: Report

    def found_at(self, address: str) -> Self:
        """The same, as a client found it at an address."""
        return replace(self, report=replace(self.report, answered_at=address))
