"""The values of a request: inputs, the exchange wanted, and the report of what happened. No protobuf here."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

PROTOCOL_VERSION = 1


class Method(StrEnum):
    """Who reads what; DESIGN names them in the same words."""

    RECEIVER_ONLY = "receiver_only"
    RECEIVER_READS = "receiver_reads"
    SHARER_ONLY = "sharer_only"
    TEXT = "text"
    PREFIX = "prefix"
    FUSE = "fuse"


class FaultPolicy(StrEnum):
    """What the receiver does when the sharer fails."""

    FAIL = "fail"
    RECEIVER_ONLY = "receiver_only"
    TEXT = "text"
    PARTIAL = "partial"


class RelayMode(StrEnum):
    """What the sharer sends in the text method."""

    WRITTEN = "written"
    VERBATIM = "verbatim"


class AlignmentRule(StrEnum):
    """Which sharer token stands for a receiver token: itself, the one where it ends in the text, or one of its own."""

    NONE = "none"
    CHARACTERS = "characters"
    FIRST = "first"
    LONGEST = "longest"


class FusionOrder(StrEnum):
    """How several sharers are fused: each upon what the earlier ones made, or each upon the receiver's own."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"


@dataclass(frozen=True)
class Text:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class ChatMessage:
    """One chat message: who speaks (system, user, assistant) and what is said."""

    role: str
    content: str


@dataclass(frozen=True)
class Messages:
    """Chat messages, oldest first, rendered with the reading model's template."""

    messages: tuple[ChatMessage, ...]


@dataclass(frozen=True)
class TokenIds:
    """Token ids of the reading model, taken as they are."""

    ids: tuple[int, ...]


Input = Text | Messages | TokenIds


@dataclass(frozen=True)
class RequestInfo:
    """Identity of a request.

    ``caller`` names on whose behalf it runs; caches are never shared between callers. ``deadline_ms`` is the time the
    caller will still wait, 0 for no limit of its own.
    """

    request_id: str = ""
    caller: str = ""
    deadline_ms: int = 0


@dataclass(frozen=True)
class FurtherSharer:
    """One more sharer of method ``fuse``, and its fuser, by name."""

    sharer: str
    fuser: str


@dataclass(frozen=True)
class Exchange:
    """How the two models talk. ``codec`` is a codec spec; only ``prefix`` and ``fuse`` use it.

    ``policy``, such as ``budget=65536`` (bytes of frames), lets the sharer choose; ``codec``'s options stay.
    ``further`` sharers take part in ``fuse`` after the first one, as ``order`` says.
    """

    method: Method = Method.PREFIX
    sharer: str = ""
    codec: str = "fp16"
    fuser: str = "identity"
    on_fault: FaultPolicy = FaultPolicy.FAIL
    relay: RelayMode = RelayMode.WRITTEN
    relay_max_tokens: int = 0
    policy: str = ""
    further: tuple[FurtherSharer, ...] = ()
    order: FusionOrder = FusionOrder.SEQUENTIAL


@dataclass(frozen=True)
class GenerateRequest:
    """A greedy continuation of ``prompt``, given what ``context`` says."""

    prompt: Input
    context: Input | None = None
    exchange: Exchange = field(default_factory=Exchange)
    max_new_tokens: int = 64
    ignore_eos: bool = False
    info: RequestInfo = field(default_factory=RequestInfo)


@dataclass(frozen=True)
class ScoreRequest:
    """Log-likelihoods of ``continuations`` after ``prompt``, given what ``context`` says.

    ``keep_distributions`` holds this scoring's distributions for a while; ``compare_with`` names such a scoring by its
    request id, to be compared with token by token.
    """

    prompt: Input
    continuations: tuple[Input, ...]
    context: Input | None = None
    exchange: Exchange = field(default_factory=Exchange)
    info: RequestInfo = field(default_factory=RequestInfo)
    keep_distributions: bool = False
    compare_with: str = ""


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


@dataclass(frozen=True)
class Report:
    """What happened to one request."""

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


@dataclass(frozen=True)
class ModelBinding:
    """Which weights and which tokenizer; compared byte for byte."""

    id: str
    revision: str
    weights_fingerprint: bytes
    tokenizer_fingerprint: bytes


@dataclass(frozen=True)
class Rope:
    """Rotary embedding parameters: angle per position in radians per rotated pair, and the factor on cos and sin."""

    kind: str
    inv_freq: tuple[float, ...]
    attention_scaling: float


@dataclass(frozen=True)
class LayerCard:
    """One layer's attention: ``window_tokens`` is 0 for full attention; ``rope`` indexes the card's ropes."""

    window_tokens: int
    rope: int


@dataclass(frozen=True)
class ModelCard:
    """Everything a peer must know of a model before its cache means anything."""

    binding: ModelBinding
    family: str
    weight_format: str
    compute_dtype: str
    device: str
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_positions: int
    ropes: tuple[Rope, ...]
    layers: tuple[LayerCard, ...]


@dataclass(frozen=True)
class Limits:
    """What a service enforces: tokens per request, requests in flight, bytes per request message."""

    max_tokens: int = 4096
    max_in_flight: int = 16
    max_message_bytes: int = 4 * 1024 * 1024


@dataclass(frozen=True)
class Description:
    """A service's answer to Describe."""

    card: ModelCard
    codecs: tuple[str, ...]
    fusers: tuple[str, ...]
    methods: tuple[Method, ...]
    limits: Limits
    sharers: tuple[str, ...]
    software: str
