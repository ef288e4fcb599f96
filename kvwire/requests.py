"""The values of a request: inputs, and the exchange that is wanted. No protobuf here."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

PROTOCOL_VERSION = 1
#: Goes up with every field, value or call that is added to that version. docs/wire-format.md has the rule.
MINOR_VERSION = 2


class Method(StrEnum):
    """Who reads what; README.md has the table."""

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


def with_time_left(info: RequestInfo, left_s: float | None) -> RequestInfo:
    """The request with the time that is left of its deadline, in whole milliseconds; at least one."""
    return info if left_s is None else replace(info, deadline_ms=max(1, int(1000 * left_s)))


@dataclass(frozen=True)
class FurtherSharer:
    """One more sharer of method ``fuse``, and its fuser, by name."""

    sharer: str
    fuser: str


@dataclass(frozen=True)
class Exchange:
    """How the two models talk. ``codec`` is a codec spec; only ``prefix`` and ``fuse`` use it.

    ``policy`` lets somebody else choose, and ``codec``'s options stay: ``budget=65536`` (bytes of frames) the sharer,
    by its model's profile; ``ttft=300ms`` or ``bytes=65536`` the receiver, by what it measured (method ``prefix``).
    ``further`` sharers take part in ``fuse`` after the first one, as ``order`` says. ``relay_instruction`` is what the
    sharer of ``text`` is told to write from the context; empty: to summarize it.
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
    relay_instruction: str = ""


@dataclass(frozen=True)
class GenerateRequest:
    """A greedy continuation of ``prompt``, given what ``context`` says.

    The token that completes one of the ``stop`` texts is the last; it comes whole, text and all.
    """

    prompt: Input
    context: Input | None = None
    exchange: Exchange = field(default_factory=Exchange)
    max_new_tokens: int = 64
    ignore_eos: bool = False
    info: RequestInfo = field(default_factory=RequestInfo)
    stop: tuple[str, ...] = ()


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
