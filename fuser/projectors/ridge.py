"""Maps from a sharer's cache to a receiver's, through few numbers per token; first solved for, then trained.

A band is some receiver layers that are computed from some sharer layers:

    z = down x             x: the token's keys before RoPE and values in those layers, mean 0 and variance 1
    y = up b(z) + bias     its keys before RoPE and values in a receiver layer of the band
    b(z) = z + bend_out gelu(bend_in z), or z itself: the closed form has no bend, training may add one

With few sharer layers per band a receiver layer can be computed before the others have come; with all in one band the
same bytes of weights say more. Trained weights are of the same form.
Source of the form: reduced-rank regression, A. J. Izenman, J. Multivariate Analysis 5 (1975), 248-264.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import gelu

from codec.layer import LayerKV
from codec.spec import RopePhase
from fuser.base import Fuser, MixingScope, zeroed_fingerprint
from fuser.binding import Pairing
from fuser.features import Remembered, Rows, rows
from fuser.latents import Divisible
from kvwire.model_card import ModelCard
from kvwire.requests import AlignmentRule, Method


@dataclass(frozen=True)
class Band:
    """Receiver layers ``targets`` from sharer layers ``sources``, both ascending, through ``rank`` numbers a token.

    ``bend``: hidden units of what is not linear in it.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    rank: int
    bend: int = 0


@dataclass(frozen=True)
class Openings:
    """What each model reads before a context, in its own token ids; the receiver only if a prompt gives it nothing."""

    sharer: tuple[int, ...]
    receiver: tuple[int, ...]


class RidgeFuser(Fuser, Divisible):
    """Bands that together give every receiver layer; weights are called ``0.down`` and so on, see :meth:`shapes`."""

    name: ClassVar[str] = "ridge"
    scope: ClassVar[MixingScope] = MixingScope.ALL_LAYERS
    rope: ClassVar[RopePhase] = RopePhase.PRE
    methods: ClassVar[frozenset[Method]] = frozenset({Method.PREFIX})
    alignment = AlignmentRule.CHARACTERS

    def __init__(
        self,
        bands: Sequence[Band],
        tensors: Mapping[str, Tensor],
        pairing: Pairing,
        openings: Openings,
        fingerprint: bytes = b"",
    ) -> None:
        self.bands = tuple(bands)
        self.pairing = pairing
        self.openings = openings
        self.fingerprint = fingerprint
        self._tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self._at = {target: index for index, band in enumerate(self.bands) for target in band.targets}
        self._latents, self._bent = ([Remembered() for _ in self.bands] for _ in range(2))

    @staticmethod
    def shapes(bands: Sequence[Band], pairing: Pairing) -> dict[str, tuple[int, ...]]:
        """Every tensor and its shape; ``features`` are twice kv heads times head_dim of the sharer, per layer."""
        per_layer = 2 * pairing.sharer.kv_heads * pairing.sharer.head_dim
        per_target = 2 * pairing.receiver.kv_heads * pairing.receiver.head_dim
        found: dict[str, tuple[int, ...]] = {}
        for index, band in enumerate(bands):
            features, outputs = per_layer * len(band.sources), per_target * len(band.targets)
            found |= {
                f"{index}.mean": (features,),
                f"{index}.spread": (features,),
                f"{index}.down": (band.rank, features),
                f"{index}.up": (outputs, band.rank),
                f"{index}.bias": (outputs,),
            }
            if band.bend:
                found |= {f"{index}.bend_in": (band.bend, band.rank), f"{index}.bend_out": (band.rank, band.bend)}
        return found

    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """Exactly the two models it was made for."""
        self.pairing.check(sharer, receiver)

    def head(self, receiver_head: tuple[int, ...]) -> tuple[int, ...]:  # noqa: ARG002  # a seam's signature
        """The sharer's own opening, whatever the receiver begins with."""
        return self.openings.sharer

    def opening(self, own: tuple[int, ...]) -> tuple[int, ...]:
        """Its own if it has one: without any, slot 0 would have to be the attention sink."""
        return own or self.openings.receiver

    def source_layers(self, target: int) -> tuple[int, ...]:
        """Those of its band."""
        return self.bands[self._at[target]].sources

    def weights(self) -> Mapping[str, Tensor]:
        """As the class says."""
        return self._tensors

    def place(self, device: torch.device, dtype: torch.dtype) -> None:  # noqa: ARG002  # see below
        """Move the weights; they stay float32, in which keys before RoPE are exact."""
        self._tensors = {name: tensor.to(device) for name, tensor in self._tensors.items()}

    def project(self, target: int, sources: Mapping[int, LayerKV]) -> LayerKV:
        """The receiver's layer, keys before RoPE, for every token of which anything was kept."""
        band, key = self._at[target], next(iter(sources.values()))
        return self.expand(target, self._latents[band].of(key, lambda: self.condense(band, sources)), key.tokens)

    def zeroed(self) -> "RidgeFuser":
        """Every latent at its mean, as of a context of which nothing is known."""
        deaf = {name: torch.zeros_like(tensor) for name, tensor in self._tensors.items() if name.endswith(".down")}
        return RidgeFuser(
            self.bands, self._tensors | deaf, self.pairing, self.openings, zeroed_fingerprint(self.fingerprint)
        )

    @property
    def ranks(self) -> tuple[int, ...]:
        """As the bands say."""
        return tuple(band.rank for band in self.bands)

    def takes(self, sharer: ModelCard) -> bool:
        """By its fingerprints."""
        return not self.pairing.sharer.faults(sharer)

    def band_sources(self, band: int) -> tuple[int, ...]:
        """As the band says."""
        return self.bands[band].sources

    def band_of(self, target: int) -> int:
        """The one that has it."""
        return self._at[target]

    def condense(self, band: int, sources: Mapping[int, LayerKV]) -> Rows:
        """``down x``."""
        found = self.features(band, sources)
        return Rows(found.numbers @ self._tensors[f"{band}.down"].T, found.slots)

    def expand(self, target: int, latents: Rows, tokens: int) -> LayerKV:
        """``up b(z) + bias``, for every token that has latents."""
        index, side = self._at[target], self.pairing.receiver
        bent = self._bent[index].of(latents, lambda: self._bend(index, latents)) if self.bands[index].bend else latents
        width = side.kv_heads * side.head_dim
        first = 2 * width * self.bands[index].targets.index(target)
        outputs = slice(first, first + 2 * width)
        up, bias = (self._tensors[f"{index}.{name}"][outputs] for name in ("up", "bias"))
        flat = bent.numbers.to(up) @ up.T + bias
        halves = flat.view(-1, 2, side.kv_heads, side.head_dim).permute(1, 2, 0, 3)
        return LayerKV(target, halves[0], halves[1], RopePhase.PRE, tokens, latents.slots)

    def _bend(self, index: int, latents: Rows) -> Rows:
        weights = (self._tensors[f"{index}.{name}"] for name in ("bend_in", "bend_out"))
        return Rows(bend(latents.numbers, *weights), latents.slots)

    def features(self, index: int, sources: Mapping[int, LayerKV]) -> Rows:
        """``x`` of a band."""
        mean, spread = (self._tensors[f"{index}.{name}"] for name in ("mean", "spread"))
        return rows(sources, self.bands[index].sources, mean, spread)


def bend(latents: Tensor, inwards: Tensor, outwards: Tensor) -> Tensor:
    """``b(z)``: latents ``(tokens, rank)``, ``bend_in`` and ``bend_out``."""
    return latents + gelu(latents.to(inwards) @ inwards.T) @ outwards.T


def windows(sources: int, targets: int, width: int, rank: int) -> Iterator[Band]:
    """A band per receiver layer: so many sharer layers around the same relative depth."""
    for target in range(targets):
        centre = round(target * (sources - 1) / max(1, targets - 1))
        first = min(max(0, centre - width // 2), max(0, sources - width))
        yield Band(tuple(range(first, min(sources, first + width))), (target,), rank)
