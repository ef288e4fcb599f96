"""What a calibration's steps cost in bytes and in KL divergence, through real frames."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calibration import losses
from calibration.reader import Layers, Reader, Window
from calibration.sent import there_and_back
from codec.calibration import Calibration
from codec.codec import Codec
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
        come = [there_and_back(codec, _layer(index, *layer)) for index, layer in enumerate(window.layers)]
        with torch.no_grad():
            found = reader.logprobs(window.tokens, [(kv.keys, kv.values) for kv in come])
        total += float(losses.divergence(found, window.logprobs))
    return total / len(windows)


def between(steps: NDArray[np.int32], measured: Sequence[int], at_measured: Sequence[float]) -> NDArray[np.float32]:
    """Fill in the steps between those measured, straight in the logarithm."""
    return np.exp(np.interp(steps, measured, np.log(at_measured))).astype(np.float32)


def _codec(calibration: Calibration, step: int) -> Codec:
    return Codec(CodecSpec.parse(f"rd:step={step}"), calibration=calibration)


def _layer(index: int, keys: Tensor, values: Tensor) -> LayerKV:
    return LayerKV(index, keys, values, RopePhase.PRE, keys.shape[1])
