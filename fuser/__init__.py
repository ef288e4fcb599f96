"""KV of one model -> KV of another.

May import: codec, torch, transformers, safetensors, in ``train`` accelerate, ``kvwire.errors``,
``kvwire.chat_template`` and the values of requests and model cards; never gRPC. A new fuser is one file in
``projectors/``, one line in ``registry.py``, one row in the conformance matrix.

Authors of fusers, and code that runs one by itself, use what is listed here.
"""

from fuser import checkpoint
from fuser.base import Fuser, MixingScope
from fuser.registry import FUSERS, KINDS, read_fuser
from fuser.whole import WholeTokens, spread, whole_tokens

__all__ = [
    "FUSERS",
    "KINDS",
    "Fuser",
    "MixingScope",
    "WholeTokens",
    "checkpoint",
    "read_fuser",
    "spread",
    "whole_tokens",
]
