"""What goes into the codec and comes out: one layer's keys and values."""

from dataclasses import dataclass

from torch import Tensor

from codec.spec import RopePhase

#: Of keys and of values.
AXES = ("kv_heads", "tokens", "head_dim")


@dataclass(frozen=True, eq=False)
class LayerKV:
    """Keys and values of one layer.

    - keys, values: ``(kv_heads, kept, head_dim)``, any float dtype going in, float32 coming out.
    - rope: whether the keys are before or after RoPE.
    - tokens: how many there were before pruning.
    - slots: which of them these are, ascending, int64: None for all, ``(kept,)`` if all heads keep the same,
      ``(kv_heads, kept)`` if each keeps its own.
    - attention: ``(kv_heads, tokens)``, float32: what each token drew of the last queries, the model's own or those of
      the receiver's question, for selectors that go by it; None where nobody observed it. It does not travel.
    """

    layer: int
    keys: Tensor
    values: Tensor
    rope: RopePhase
    tokens: int
    slots: Tensor | None = None
    attention: Tensor | None = None


def bits_per_value(frame_bytes: int, kv: LayerKV) -> float:
    """Every byte of a frame, header and indices too, in bits per key and value before pruning."""
    heads, _, head_dim = kv.keys.shape
    return 8 * frame_bytes / (2 * heads * kv.tokens * head_dim)
