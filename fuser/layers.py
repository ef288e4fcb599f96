"""What a model card says of a layer's RoPE, and a layer's keys in the phase a fuser wants them."""

from dataclasses import replace

import torch
from torch import Tensor

from codec.layer import LayerKV
from codec.rope import LayerRope, RopeTable, rotate, unrotate
from codec.spec import RopePhase
from kvwire.model_card import ModelCard


def rope_table(card: ModelCard) -> RopeTable:
    """The angles of every layer of a model."""
    ropes = [LayerRope(torch.tensor(rope.inv_freq), rope.attention_scaling) for rope in card.ropes]
    return RopeTable(tuple(ropes[layer.rope] for layer in card.layers))


def kept_positions(kv: LayerKV, first: int) -> Tensor:
    """Positions of a layer's kept tokens if the first of all stands at ``first``.

    ``(kept,)``, or ``(kv_heads, kept)`` where heads kept different tokens; int64.
    """
    index = torch.arange(kv.tokens) if kv.slots is None else kv.slots.to(torch.int64)
    return index + first


def in_phase(kv: LayerKV, phase: RopePhase, first: int, ropes: RopeTable) -> LayerKV:
    """The layer with its keys before or after RoPE, float32; ``first``: position of the first of all its tokens."""
    if kv.rope is phase:
        return kv
    turn = rotate if phase is RopePhase.POST else unrotate
    return replace(kv, keys=turn(kv.keys, kept_positions(kv, first), ropes.layers[kv.layer]), rope=phase)
