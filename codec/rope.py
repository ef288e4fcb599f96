"""Rotary position embedding of keys, undone and done again; rotate-half layout (Llama, Qwen, Gemma and kin).

A pair is channels i and i + pairs; channels beyond 2 x pairs are not rotated (partial rotary embedding; a layer
without RoPE has no pairs). Angles are float32 products of position and inverse frequency, as models compute them, so
undoing turns back by the very angle. Their cosine is taken in float64 and rounded, so it is the same on every CPU and
within one rounding of any model's. Undoing is exact to float32 rounding for keys in float32; keys that a model
rounded to 16 bits after rotating keep that error.

Source: "RoFormer", arXiv 2104.09864, equation 34; attention scaling as in YaRN, arXiv 2309.00071, section 3.4.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kvwire.errors import InvalidRequestError


@dataclass(frozen=True, eq=False)
class LayerRope:
    """One layer's angles: ``inv_freq`` (pairs,), radians per position; ``scaling`` multiplies cosine and sine."""

    inv_freq: Tensor
    scaling: float = 1.0


@dataclass(frozen=True, eq=False)
class RopeTable:
    """A model's layers, first to last."""

    layers: tuple[LayerRope, ...]


def rotate(keys: Tensor, positions: Tensor, rope: LayerRope) -> Tensor:
    """Keys after RoPE, float32, from ``keys`` before it.

    keys: ``(kv_heads, tokens, head_dim)``, any float dtype.
    positions: ``(tokens,)`` or ``(kv_heads, tokens)``, integers.

    Raises:
        InvalidRequestError: More frequencies than half of head_dim.
    """
    cos, sin = _turn(positions, rope)
    return _rotated(keys, cos * rope.scaling, sin * rope.scaling)


def unrotate(keys: Tensor, positions: Tensor, rope: LayerRope) -> Tensor:
    """Keys before RoPE, float32: the inverse of :func:`rotate`, same arguments."""
    cos, sin = _turn(positions, rope)
    return _rotated(keys, cos / rope.scaling, -sin / rope.scaling)


def _turn(positions: Tensor, rope: LayerRope) -> tuple[Tensor, Tensor]:
    """Cosine and sine, ``(..., tokens, pairs)``, float32."""
    angles = positions.float()[..., None] * rope.inv_freq.to(positions.device, torch.float32)
    exact = angles.double()
    return exact.cos().float(), exact.sin().float()


def _rotated(keys: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    pairs = cos.shape[-1]
    if 2 * pairs > keys.shape[-1]:
        raise InvalidRequestError(f"{pairs} RoPE frequencies for head_dim {keys.shape[-1]}; half of it at most")
    cos, sin = cos.to(keys.device), sin.to(keys.device)
    first, second, rest = keys.float().split((pairs, pairs, keys.shape[-1] - 2 * pairs), dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)
