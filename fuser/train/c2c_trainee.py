"""A C2C fuser being trained: every weight moves, and gates are soft."""

from collections.abc import Sequence

from torch import Tensor, nn

from codec.layer import LayerKV
from codec.quantize.base import Kind
from fuser.projectors.c2c import PREFIXES, C2CFuser, Projector
from fuser.train.gates import SoftGates
from fuser.whole import spread, whole_tokens

#: A gate's logit is learned in units of this. Adam moves a number by about the rate per step: at 5e-4 and 800 steps by
#: 0.2 in all, and a gate that may end at 2 can be sure of itself. Ours, not tuned.
_GATE_UNIT = 10.0
_TEMPERATURE = "gate_temperature"

Layers = Sequence[tuple[Tensor, Tensor]]
#: The sharer's layers and the receiver's own of one text, keys after RoPE.
Caches = tuple[Sequence[LayerKV], Sequence[LayerKV]]


class TrainedProjector(nn.Module):
    """One receiver layer's projector, in float32."""

    def __init__(self, projector: Projector) -> None:
        super().__init__()
        self.source = projector.source
        self._names = [name for name in projector.weights if name != _TEMPERATURE]
        given = [projector.weights[name].float() / _unit(name) for name in self._names]
        self.numbers = nn.ParameterList(nn.Parameter(number.clone()) for number in given)
        self._projector = Projector(
            projector.source, projector.widths, dict(zip(self._names, self.numbers, strict=True))
        )

    def forward(self, half: Kind, theirs: LayerKV, own: Tensor, gates: SoftGates) -> Tensor:
        """The receiver's keys or values, ``(kv_heads, tokens, head_dim)``, corrected where a token came whole."""
        whole = whole_tokens(theirs)
        part = own if whole.slots is None else own[:, whole.slots]
        logit = self._projector.weights[f"{PREFIXES[half]}_gate_logit"] * _GATE_UNIT
        gate = gates.gate(logit, part.shape[0], part.shape[1])
        source = whole.keys if half is Kind.KEY else whole.values
        return spread(part + gate * self._projector.correction(half, source, part), whole.slots, own)

    def tensors(self) -> dict[str, Tensor]:
        """What has moved, under its official names."""
        return {name: number.detach() * _unit(name) for name, number in zip(self._names, self.numbers, strict=True)}


class C2CTrainee(nn.Module):
    """All projectors of a fuser."""

    def __init__(self, fuser: C2CFuser) -> None:
        super().__init__()
        self._at = {target: TrainedProjector(projector) for target, projector in fuser.projectors.items()}
        self.projectors = nn.ModuleList(self._at.values())

    def forward(self, texts: Sequence[Caches], gates: SoftGates) -> list[Layers]:
        """The receiver's layers of each text, keys after RoPE, with the sharer's fused in behind soft gates."""
        return [[self._layer(theirs, own, gates) for own in ours] for theirs, ours in texts]

    def _layer(self, theirs: Sequence[LayerKV], own: LayerKV, gates: SoftGates) -> tuple[Tensor, Tensor]:
        projector = self._at.get(own.layer)
        if projector is None:
            return own.keys, own.values
        source = theirs[projector.source]
        return projector(Kind.KEY, source, own.keys, gates), projector(Kind.VALUE, source, own.values, gates)

    def trained(self, fuser: C2CFuser) -> dict[int, Projector]:
        """Projectors of ``fuser`` with the weights as they now are."""
        return {
            target: Projector(before.source, before.widths, {**before.weights, **self._at[target].tensors()})
            for target, before in fuser.projectors.items()
        }


def _unit(name: str) -> float:
    return _GATE_UNIT if name.endswith("gate_logit") else 1.0
