"""KV of one model -> KV of another.

May import: codec, torch, transformers, safetensors, in ``train`` accelerate, ``kvwire.errors`` and the values of
requests and model cards; never gRPC. A new fuser is one file in ``projectors/``, one line in ``registry.py``, one row
in the conformance matrix.
"""
