"""C2C: the receiver's own cache plus a gated, weighted correction from the sharer's, layer by layer.

For keys and for values of a layer apart, with ``s`` and ``t`` the sharer's and the receiver's, heads side by side::

    block(x) = x + w2 GELU(w1 RMSNorm(x))
    h        = mlp1(in [s; t])                        one block
    p        = proj_out(proj_mlp2(h))                 num_layers - 2 blocks
    a        = sigmoid(scalar_head(scalar_mlp2(h)))   one block; one number per token and head of the receiver
    result   = t + a p   if gate_logit > 0, else t

Source: arXiv 2510.03215, section 3.3; order and names as in the official code, thu-nics/C2C at 69eb705.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor

from codec.layer import LayerKV
from codec.quantize.base import Kind
from codec.spec import RopePhase
from fuser.base import Fuser, MixingScope, zeroed_fingerprint
from fuser.binding import Pairing
from fuser.mapping import MAPPINGS
from fuser.whole import spread, whole_tokens
from kvwire.errors import BindingError, DataLossError
from kvwire.model_card import ModelBinding, ModelCard
from kvwire.requests import AlignmentRule, Method

_EPSILON = 1e-6
#: Published projectors are 1,024 to 4,096 wide and 3 deep; these bound what a hostile file can ask for.
WIDEST, SHALLOWEST, DEEPEST = 1 << 16, 3, 64
#: What names of weights begin with.
PREFIXES = {Kind.KEY: "key", Kind.VALUE: "value"}


@dataclass(frozen=True)
class Widths:
    """Sizes of one projector, under the names of the official constructor arguments."""

    source_dim: int
    target_dim: int
    source_num_heads: int
    target_num_heads: int
    hidden_dim: int
    intermediate_dim: int
    num_layers: int

    @classmethod
    def parse(cls, said: Mapping[str, Any], where: str) -> "Widths":
        """Check sizes that a file announces; ``where`` is for errors.

        Raises:
            DataLossError: One is missing, surplus or cannot be.
        """
        wanted = {field.name for field in fields(cls)}
        if wrong := wanted ^ said.keys():
            raise DataLossError(f"{where}: {', '.join(sorted(wrong))} missing or unexpected; it is of another version")
        if not all(type(number) is int and 0 < number <= WIDEST for number in said.values()):
            raise DataLossError(f"{where}: {dict(said)} are no widths of a projector; fetch it again")
        if not SHALLOWEST <= said["num_layers"] <= DEEPEST:
            raise DataLossError(f"{where}: num_layers {said['num_layers']}, {SHALLOWEST} to {DEEPEST} can be")
        return cls(**said)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of a projector and its shape."""
        hidden, inner = self.hidden_dim, self.intermediate_dim
        source, target = self.source_num_heads * self.source_dim, self.target_num_heads * self.target_dim
        shapes: dict[str, tuple[int, ...]] = {"gate_temperature": ()}
        for half in PREFIXES.values():
            shapes |= {
                f"{half}_gate_logit": (),
                **_linear(f"{half}_in", source + target, hidden),
                **_block(f"{half}_mlp1", 0, hidden, inner),
                **_block(f"{half}_scalar_mlp2", 0, hidden, hidden),
                **_linear(f"{half}_scalar_head", hidden, self.target_num_heads),
                **_linear(f"{half}_proj_out", hidden, target),
            }
            for index in range(self.num_layers - 2):
                shapes |= _block(f"{half}_proj_mlp2", index, hidden, inner)
        return shapes


def _linear(name: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _block(name: str, index: int, width: int, inner: int) -> dict[str, tuple[int, ...]]:
    at = f"{name}.blocks.{index}"
    return {f"{at}.norm.weight": (width,), f"{at}.w1.weight": (inner, width), f"{at}.w2.weight": (width, inner)}


@dataclass(frozen=True, eq=False)
class Projector:
    """One receiver layer's fuser: the sharer layer it takes, and its weights under their official names."""

    source: int
    widths: Widths
    weights: dict[str, Tensor]

    def open(self, half: Kind) -> bool:
        """Whether the gate of the keys, or of the values, lets anything through."""
        return bool(self.weights[f"{PREFIXES[half]}_gate_logit"] > 0)

    @property
    def is_open(self) -> bool:
        """Whether any gate does."""
        return any(self.open(half) for half in Kind)

    def zeroed(self) -> "Projector":
        """The same, with no weight on what the sharer says."""
        says = self.widths.source_num_heads * self.widths.source_dim
        deaf = {name: self.weights[name].clone() for name in (f"{half}_in.weight" for half in PREFIXES.values())}
        for weights in deaf.values():
            weights[:, :says] = 0
        return replace(self, weights=self.weights | deaf)

    def correction(self, half: Kind, source: Tensor, own: Tensor) -> Tensor:
        """What the sharer adds to the receiver's ``own``, ``(kv_heads, tokens, head_dim)``, behind an open gate.

        source: ``(sharer's kv_heads, tokens, head_dim)``. Both in the weights' dtype.
        """
        name = PREFIXES[half]
        hidden = self._mlp(f"{name}_mlp1", 1, self._linear(f"{name}_in", torch.cat([_flat(source), _flat(own)], -1)))
        spoken = self._mlp(f"{name}_proj_mlp2", self.widths.num_layers - 2, hidden)
        projected = self._linear(f"{name}_proj_out", spoken)
        weighed = self._mlp(f"{name}_scalar_mlp2", 1, hidden)
        weight = torch.sigmoid(self._linear(f"{name}_scalar_head", weighed))
        heads, tokens, head_dim = own.shape
        return (weight[..., None] * projected.reshape(tokens, heads, head_dim)).transpose(0, 1)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _mlp(self, name: str, blocks: int, x: Tensor) -> Tensor:
        for index in range(blocks):
            at = f"{name}.blocks.{index}"
            normal = F.rms_norm(x, x.shape[-1:], self.weights[f"{at}.norm.weight"].to(x), _EPSILON)
            inner = F.gelu(F.linear(normal, self.weights[f"{at}.w1.weight"]))
            x = x + F.linear(inner, self.weights[f"{at}.w2.weight"])
        return x


def _flat(x: Tensor) -> Tensor:
    """``(tokens, kv_heads * head_dim)``, head by head."""
    return x.transpose(0, 1).flatten(1)


class C2CFuser(Fuser):
    """Projectors by receiver layer; a layer without one stays as it is. Keys are taken after RoPE.

    A token that not all heads kept is not whole to it and keeps the receiver's own: official checkpoints hold no mean
    that could stand in for the part that is missing.
    """

    name: ClassVar[str] = "c2c"
    scope: ClassVar[MixingScope] = MixingScope.LAYER
    rope: ClassVar[RopePhase] = RopePhase.POST
    methods: ClassVar[frozenset[Method]] = frozenset({Method.FUSE})

    def __init__(
        self,
        projectors: Mapping[int, Projector],
        pairing: Pairing,
        fingerprint: bytes,
        mapping: str = "",
        alignment: AlignmentRule = AlignmentRule.NONE,
    ) -> None:
        self.projectors = dict(projectors)
        self.pairing = pairing
        self.fingerprint = fingerprint
        self.mapping = mapping
        self.alignment = alignment

    def zeroed(self) -> "C2CFuser":
        """``s`` is zero in every projector, as in the official control."""
        deaf = {target: projector.zeroed() for target, projector in self.projectors.items()}
        return C2CFuser(deaf, self.pairing, zeroed_fingerprint(self.fingerprint), self.mapping, self.alignment)

    def bound(self, sharer: ModelBinding, receiver: ModelBinding) -> "C2CFuser":
        """The same fuser for exactly these models.

        Raises:
            BindingError: It was made for others.
        """
        pairing = self.pairing.bound(sharer, receiver)
        return C2CFuser(self.projectors, pairing, self.fingerprint, self.mapping, self.alignment)

    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """The pair it was trained for: layers and how they map, heads, head_dim, and what is known of the models."""
        self.pairing.check(sharer, receiver)
        if not self.mapping:
            return
        wanted = MAPPINGS[self.mapping](len(receiver.layers), len(sharer.layers))
        for target, projector in self.projectors.items():
            if projector.source != wanted[target]:
                raise BindingError(
                    f"this fuser's layer {target} takes sharer layer {projector.source}; {self.mapping} of "
                    f"{len(sharer.layers)} layers to {len(receiver.layers)} takes {wanted[target]}: it was made for "
                    "models of other depths; name a fuser made for this pair"
                )

    def source_layers(self, target: int) -> tuple[int, ...]:
        """The one its projector takes; none behind closed gates."""
        projector = self.projectors.get(target)
        return (projector.source,) if projector is not None and projector.is_open else ()

    def halves(self, source: int) -> frozenset[Kind]:
        """Those behind an open gate of some projector."""
        takers = [projector for projector in self.projectors.values() if projector.source == source]
        return frozenset(half for half in Kind if any(taker.open(half) for taker in takers))

    def weights(self) -> Mapping[str, Tensor]:
        """Official names behind ``projector_<receiver layer>.``."""
        return {
            f"projector_{target}.{name}": tensor
            for target, projector in self.projectors.items()
            for name, tensor in projector.weights.items()
        }

    def place(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the weights; gates stay as they are, so that rounding closes none."""
        for projector in self.projectors.values():
            for name, tensor in projector.weights.items():
                projector.weights[name] = tensor if tensor.ndim == 0 else tensor.to(device, dtype)

    def fuse(self, target: int, sources: Mapping[int, LayerKV], keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The receiver's own layer, corrected where a gate is open and the sharer sent the whole token."""
        projector = self.projectors.get(target)
        if projector is None or not projector.is_open:
            return keys, values
        whole = whole_tokens(sources[projector.source])
        return (
            _corrected(projector, Kind.KEY, whole.keys, whole.slots, keys),
            _corrected(projector, Kind.VALUE, whole.values, whole.slots, values),
        )


def _corrected(projector: Projector, half: Kind, source: Tensor, slots: Tensor | None, own: Tensor) -> Tensor:
    if not projector.open(half) or source.shape[1] == 0:
        return own
    weights = projector.weights[f"{PREFIXES[half]}_in.weight"]
    part = (own if slots is None else own[:, slots.to(own.device)]).to(weights)
    return spread(part + projector.correction(half, source.to(weights), part), slots, own)
