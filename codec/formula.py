"""The literature's byte count, printed beside the measured one: it forgets layers, scales, indices and framing."""

from codec.spec import CodecSpec

_BITS = {"fp32": 32, "fp16": 16, "bf16": 16, "fp8": 8, "int8": 8, "int4": 4, "nf4": 4}


def formula_bytes(spec: CodecSpec, tokens: int, kv_heads: int, head_dim: int) -> float:
    """``tokens x head_dim x heads x 2 x precision``, in bytes; precision of bases with a ``bits`` parameter is that.

    Source: the memory formula of the Cache-to-Cache literature, as quoted in third parties' cost tables.
    """
    bits = _BITS.get(spec.base.name) or float(getattr(spec.base.quantizer(), "bits", 0))
    return tokens * head_dim * kv_heads * 2 * bits / 8
