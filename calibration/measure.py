"""What a calibration's steps cost in bytes and in KL divergence, through real frames."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import kl_div

from calibration.reader import Layers, Reader, Window
from codec.calibration import Calibration
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV, bits_per_value
from codec.spec import CodecSpec, RopePhase


def rate(calibration: Calibration, step: int, tokens: int, caches: Sequence[Layers]) -> float:
    """Mean bits per value, whole frames, of the first so many tokens."""
    codec = _codec(calibration, step)
    spent = [
        bits_per_value(len(codec.encode_layer(kv)), kv)
        for layers in caches
        for kv in (_layer(index, keys[:, :tokens], values[:, :tokens]) for index, (keys, values) in enumerate(layers))
    ]
    return sum(spent) / len(spent)


def divergence(calibration: Calibration, step: int, reader: Reader, windows: Sequence[Window]) -> float:
    """Mean KL divergence in nats of the continuations' next-token distributions, after the decoded context."""
    codec = _codec(calibration, step)
    total = 0.0
    for window in windows:
        decoded = [there_and_back(codec, index, *layer) for index, layer in enumerate(window.layers)]
        with torch.no_grad():
            other = reader.logprobs(window.tokens, decoded)
        total += float(kl_div(other, window.logprobs, log_target=True, reduction="none").sum(-1).mean())
    return total / len(windows)


def there_and_back(codec: Codec, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """A layer as it arrives."""
    kv = codec.decode_layer(codec.encode_layer(_layer(index, keys, values)), Limits())
    return kv.keys, kv.values


def between(steps: NDArray[np.int32], measured: Sequence[int], at_measured: Sequence[float]) -> NDArray[np.float32]:
    """Fill in the steps between those measured, straight in the logarithm."""
    return np.exp(np.interp(steps, measured, np.log(at_measured))).astype(np.float32)


def _codec(calibration: Calibration, step: int) -> Codec:
    return Codec(CodecSpec.parse(f"rd:step={step}"), calibration=calibration)


def _layer(index: int, keys: Tensor, values: Tensor) -> LayerKV:
    return LayerKV(index, keys, values, RopePhase.PRE, keys.shape[1])
