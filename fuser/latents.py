"""A fuser cut in two at its narrowest place: the sharer runs the first half, and the few numbers between them travel.

Latents travel as the cache of a model that is not there: layers of one head without RoPE, each :data:`BLOCK` numbers
per token, half of them as keys and half as values, the most important layers first. So every codec, selector and check
of a cache is one of latents too. Bands follow one another; the last layer of a band is filled up with zeros.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from codec.layer import LayerKV
from codec.rope import RopeTable
from codec.spec import RopePhase
from fuser.base import Fuser, MixingScope
from fuser.features import Remembered, Rows, rows
from fuser.layers import in_phase
from kvwire.errors import InvalidRequestError
from kvwire.model_card import LayerCard, ModelCard, Rope
from kvwire.requests import Method

#: Numbers per token and layer. Scales of one block suit its numbers, which are of about the same importance.
BLOCK = 128
_NO_ROPE = Rope("none", (), 1.0)


class Divisible(ABC):
    """What a fuser offers that can be cut in two. A band is a part with latents of its own."""

    fingerprint: bytes

    @property
    @abstractmethod
    def ranks(self) -> tuple[int, ...]:
        """Latents per token of each band."""

    @abstractmethod
    def takes(self, sharer: ModelCard) -> bool:
        """Whether its first half was made for this model."""

    @abstractmethod
    def band_sources(self, band: int) -> tuple[int, ...]:
        """Sharer layers that a band takes, ascending."""

    @abstractmethod
    def band_of(self, target: int) -> int:
        """The band that gives a receiver layer."""

    @abstractmethod
    def condense(self, band: int, sources: Mapping[int, LayerKV]) -> Rows:
        """The first half: ``(rows, rank)`` float32 from the sharer's layers, keys before RoPE."""

    @abstractmethod
    def expand(self, target: int, latents: Rows, tokens: int) -> LayerKV:
        """The second half: a receiver's layer, keys before RoPE, from its band's latents."""


def latent_card(sharer: ModelCard, fuser: Divisible) -> ModelCard:
    """The model that is not there, as which latents travel; codec tables go by its weights, which are the fuser."""
    layers = sum(map(_blocks, fuser.ranks))
    return replace(
        sharer,
        binding=replace(sharer.binding, id=f"latents of {sharer.binding.id}", weights_fingerprint=fuser.fingerprint),
        kv_heads=1,
        head_dim=BLOCK // 2,
        ropes=(_NO_ROPE,),
        layers=(LayerCard(window_tokens=0, rope=0),) * layers,
    )


def sources_of(fuser: Divisible) -> frozenset[int]:
    """Sharer layers that any band takes."""
    return frozenset(source for band in range(len(fuser.ranks)) for source in fuser.band_sources(band))


def blocks(latents: Tensor, first: int = 0) -> Iterator[LayerKV]:
    """Latents of all tokens, ``(tokens, rank)``, as layers from number ``first`` on."""
    filled = pad(latents, (0, -latents.shape[1] % BLOCK))
    for at, block in enumerate(filled.split(BLOCK, dim=1)):
        keys, values = (half[None].contiguous() for half in block.split(BLOCK // 2, dim=1))
        yield LayerKV(first + at, keys, values, RopePhase.POST, len(latents))


def joined(layers: Mapping[int, LayerKV], rank: int) -> Rows:
    """:func:`blocks` undone. A number that was pruned is 0, its mean; a token without any has no row."""
    zeros = torch.zeros(BLOCK * len(layers))
    found = rows(layers, sorted(layers), zeros, torch.ones_like(zeros))
    return Rows(found.numbers[:, :rank], found.slots)


class FirstHalf:
    """Takes the sharer's layers of one context as they are computed and gives latents as soon as it can."""

    def __init__(self, fuser: Divisible, ropes: RopeTable, first: int) -> None:
        """``first``: the position of the first token that is sent."""
        self._fuser = fuser
        self._ropes = ropes
        self._first = first
        self._missing = {band: set(fuser.band_sources(band)) for band in range(len(fuser.ranks))}
        self._layers: dict[int, LayerKV] = {}

    def __call__(self, kv: LayerKV) -> Iterator[LayerKV]:
        """Layers of latents of the bands that a layer completes, band after band."""
        self._layers[kv.layer] = in_phase(kv, RopePhase.PRE, self._first, self._ropes)
        for band, missing in list(self._missing.items()):
            missing.discard(kv.layer)
            if missing or band != min(self._missing):
                continue
            del self._missing[band]
            sources = {source: self._layers[source] for source in self._fuser.band_sources(band)}
            yield from blocks(self._fuser.condense(band, sources).numbers, _first_block(self._fuser, band))
        needed = {source for band in self._missing for source in self._fuser.band_sources(band)}
        self._layers = {layer: held for layer, held in self._layers.items() if layer in needed}


def second_half(whole: Fuser) -> "SecondHalf":
    """What is left of a fuser to be run where latents arrive.

    Raises:
        InvalidRequestError: It cannot be cut in two.
    """
    if not isinstance(whole, Divisible):
        raise InvalidRequestError(
            f"fuser {whole.name} cannot be cut in two; leave of=latents out, or name one made by kvwire fuser calibrate"
        )
    return SecondHalf(whole, whole)


class SecondHalf(Fuser):
    """A fuser of latents: their layers are what it takes from the sharer."""

    name: ClassVar[str] = "second half"
    scope: ClassVar[MixingScope] = MixingScope.ALL_LAYERS
    rope: ClassVar[RopePhase] = RopePhase.POST
    methods: ClassVar[frozenset[Method]] = frozenset({Method.PREFIX})

    def __init__(self, whole: Fuser, divided: Divisible) -> None:
        """``divided`` is ``whole``, known to be divisible."""
        self._whole = whole
        self._divided = divided
        self._joined = Remembered()
        self.alignment = whole.alignment
        self.fingerprint = whole.fingerprint

    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """As the whole fuser."""
        self._whole.check(sharer, receiver)

    def sent_by(self, sharer: ModelCard) -> ModelCard:
        """Latents."""
        return latent_card(sharer, self._divided)

    def head(self, receiver_head: tuple[int, ...]) -> tuple[int, ...]:
        """As the whole fuser."""
        return self._whole.head(receiver_head)

    def opening(self, own: tuple[int, ...]) -> tuple[int, ...]:
        """As the whole fuser."""
        return self._whole.opening(own)

    def source_layers(self, target: int) -> tuple[int, ...]:
        """Those of the target's band."""
        band = self._divided.band_of(target)
        first = _first_block(self._divided, band)
        return tuple(range(first, first + _blocks(self._divided.ranks[band])))

    def project(self, target: int, sources: Mapping[int, LayerKV]) -> LayerKV:
        """The receiver's layer."""
        layers = self.source_layers(target)
        rank = self._divided.ranks[self._divided.band_of(target)]
        key = sources[layers[0]]
        found = self._joined.of(key, lambda: joined({layer: sources[layer] for layer in layers}, rank))
        return self._divided.expand(target, found, key.tokens)


def _blocks(rank: int) -> int:
    return -(-rank // BLOCK)


def _first_block(fuser: Divisible, band: int) -> int:
    return sum(map(_blocks, fuser.ranks[:band]))
