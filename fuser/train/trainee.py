"""A ridge fuser being trained: the maps out of its latents move, the maps into them stay.

Latents are white, which suits Adam: trained along with them, the maps into them, whose inputs are anything but,
made the loss rise (Qwen2.5-Coder-0.5B to SmolLM2-135M, 8 texts a step, 2026-11-23: from 0.19 to 0.28 nats in 75
steps; without them it fell to 0.14 in 50).
"""

import torch
from torch import Tensor, nn

from fuser.projectors.ridge import RidgeFuser


class Trainee(nn.Module):
    """The one band of a fuser. Outputs are learned in units of their spread, so that one rate suits all."""

    def __init__(self, fuser: RidgeFuser, spread: Tensor) -> None:
        """``spread``: ``(outputs,)`` float32 above 0."""
        super().__init__()
        weights = fuser.weights()
        self.spread = nn.Buffer(spread)
        self.up = nn.Parameter(weights["0.up"] / spread[:, None])
        self.bias = nn.Parameter(weights["0.bias"] / spread)

    def forward(self, latents: Tensor) -> Tensor:
        """``(tokens, rank)`` to ``(tokens, outputs)``."""
        return torch.addmm(self.bias, latents, self.up.T) * self.spread

    def tensors(self) -> dict[str, Tensor]:
        """What has moved, as the fuser names it."""
        return {
            "0.up": self.up.detach() * self.spread[:, None],
            "0.bias": self.bias.detach() * self.spread,
        }
