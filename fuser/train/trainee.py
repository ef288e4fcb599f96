"""A ridge fuser being trained: the maps out of its latents move, the maps into them stay.

Latents are white, which suits Adam: trained along with them, the maps into them, whose inputs are anything but,
made the loss rise (Qwen2.5-Coder-0.5B to SmolLM2-135M, 8 texts a step, 2026-11-23: from 0.19 to 0.28 nats in 75
steps; without them it fell to 0.14 in 50).
"""

import torch
from torch import Tensor, nn

from fuser.projectors.ridge import Band, RidgeFuser, bend
from kvwire.errors import InvalidRequestError


class Trainee(nn.Module):
    """The one band of a fuser. Outputs are learned in units of their spread, so that one rate suits all."""

    def __init__(self, fuser: RidgeFuser, spread: Tensor) -> None:
        """``spread``: ``(outputs,)`` float32 above 0."""
        super().__init__()
        weights = fuser.weights()
        self.spread = nn.Buffer(spread)
        self.up = nn.Parameter(weights["0.up"] / spread[:, None])
        self.bias = nn.Parameter(weights["0.bias"] / spread)
        bends = [weights[f"0.{name}"] for name in ("bend_in", "bend_out")] if fuser.bands[0].bend else []
        self.bends = nn.ParameterList(nn.Parameter(each.clone()) for each in bends)

    def forward(self, latents: Tensor) -> Tensor:
        """``(tokens, rank)`` to ``(tokens, outputs)``."""
        bent = bend(latents, *self.bends) if len(self.bends) else latents
        return torch.addmm(self.bias, bent, self.up.T) * self.spread

    def tensors(self) -> dict[str, Tensor]:
        """What has moved, as the fuser names it."""
        moved = {"0.up": self.up.detach() * self.spread[:, None], "0.bias": self.bias.detach() * self.spread}
        bends = zip(("0.bend_in", "0.bend_out"), self.bends, strict=False)
        return moved | {name: tensor.detach() for name, tensor in bends}


def with_bend(fuser: RidgeFuser, units: int, seed: int) -> RidgeFuser:
    """The same function, with a bend of so many hidden units that does nothing yet.

    Raises:
        InvalidRequestError: It has one already.
    """
    band = fuser.bands[0]
    if band.bend:
        raise InvalidRequestError(f"this fuser has a bend of {band.bend} units already; leave --bend out")
    inwards = torch.randn(units, band.rank, generator=torch.Generator().manual_seed(seed)) / band.rank**0.5
    bends = {"0.bend_in": inwards, "0.bend_out": torch.zeros(band.rank, units)}
    bent = Band(band.sources, band.targets, band.rank, units)
    return RidgeFuser((bent,), {**fuser.weights(), **bends}, fuser.pairing, fuser.openings, fuser.fingerprint)
