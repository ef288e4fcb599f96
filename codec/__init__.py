"""KV tensors <-> bytes.

May import: torch, numpy, numba, safetensors and compression libraries, and ``kvwire.errors``; never models, never gRPC.
A new quantizer is one file in ``quantize/``, one line in ``registry.py``, one row in the conformance matrix and one
golden file.

Other code bases use :func:`roundtrip` and :func:`roundtrip_cache`, or :class:`Codec` for the frames themselves; authors
of quantizers and selectors :class:`Quantizer` and :class:`Selector`, and what their methods take and give.
"""

from codec.calibration import Calibration
from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.hook import CacheRoundTrip, RoundTrip, roundtrip, roundtrip_cache
from codec.layer import LayerKV, bits_per_value
from codec.planes import Plane, Planes, PlaneShape
from codec.prune.base import Selector
from codec.quantize.base import Context, Kind, Quantizer
from codec.registry import QUANTIZERS, SELECTORS
from codec.rope import LayerRope, RopeTable, rotate, unrotate
from codec.spec import CodecSpec, Payload, RopePhase

__all__ = [
    "QUANTIZERS",
    "SELECTORS",
    "CacheRoundTrip",
    "Calibration",
    "Codec",
    "CodecSpec",
    "Context",
    "Kind",
    "LayerKV",
    "LayerRope",
    "Limits",
    "Payload",
    "Plane",
    "PlaneShape",
    "Planes",
    "Quantizer",
    "RopePhase",
    "RopeTable",
    "RoundTrip",
    "Selector",
    "bits_per_value",
    "decode_layer",
    "rotate",
    "roundtrip",
    "roundtrip_cache",
    "unrotate",
]
