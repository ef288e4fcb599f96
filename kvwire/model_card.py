"""What a service says of itself and its model, as values: a peer needs it before a cache means anything."""

from dataclasses import dataclass

from kvwire.requests import MINOR_VERSION, Method


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
    minor_version: int = MINOR_VERSION
