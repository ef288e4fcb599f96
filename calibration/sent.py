"""A layer as a codec delivers it, without a wire."""

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import RopeTable
from fuser.layers import in_phase


def there_and_back(codec: Codec, kv: LayerKV) -> LayerKV:
    """Through a frame; keys are in the phase of the codec's spec, before and after."""
    return codec.decode_layer(codec.encode_layer(kv), Limits())


def as_sent(codec: Codec, kv: LayerKV, first: int, ropes: RopeTable) -> LayerKV:
    """Through a frame, keys in the phase they came in, float32; ``first``: position of the first of all its tokens."""
    come = there_and_back(codec, in_phase(kv, codec.spec.rope, first, ropes))
    return in_phase(come, kv.rope, first, ropes)
