"""KV tensors <-> bytes.

May import: torch, numpy and compression libraries, and ``kvwire.errors``; never models, never gRPC. A new quantizer
is one file in ``quantize/``, one line in ``registry.py``, one row in the conformance matrix and one golden file.

Other code bases use :func:`roundtrip` and :func:`roundtrip_cache`.
"""

from codec.hook import CacheRoundTrip, RoundTrip, roundtrip, roundtrip_cache

__all__ = ["CacheRoundTrip", "RoundTrip", "roundtrip", "roundtrip_cache"]
