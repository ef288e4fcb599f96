"""Gates that are soft while they are learned: a Gumbel-sigmoid per token and head, ever harder as the training goes on.

The noise is the difference of two Gumbel variables, so that a gate is open for more than half of all draws exactly
where its logit is above 0, which is where it is open at inference. (The official code adds one Gumbel variable, which
at logit 0 opens for 63 % of the draws.)
Source: the annealing of thu-nics/C2C at 69eb705; the noise as in C. Maddison et al., arXiv 1611.00712, appendix B.
"""

import random
from dataclasses import dataclass

import torch
from torch import Tensor

#: Temperatures of the first step and of the last.
FIRST, LAST = 1.0, 0.001
# Keeps the noise finite: within 14.
_EPSILON = 1e-6


def temperature_at(step: int, steps: int) -> float:
    """By the same factor every step."""
    return FIRST * float((LAST / FIRST) ** (step / steps))


@dataclass(frozen=True, eq=False)
class SoftGates:
    """Gates of one step, drawn in the order they are asked for."""

    temperature: float
    generator: torch.Generator

    def gate(self, logit: Tensor, heads: int, tokens: int) -> Tensor:
        """``(heads, tokens, 1)`` within 0 and 1; differentiable in ``logit``, which is one number."""
        noise = torch.rand(heads, tokens, 1, generator=self.generator).logit(_EPSILON)
        return torch.sigmoid((logit + noise.to(logit.device)) / self.temperature)


def gates_at(step: int, steps: int, seed: int) -> SoftGates:
    """Those of a step, the same ones whenever it is taken."""
    drawn = random.Random(f"{seed} gates {step}").getrandbits(63)  # noqa: S311  # no secret
    return SoftGates(temperature_at(step, steps), torch.Generator().manual_seed(drawn))
