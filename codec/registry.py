"""Every name of the codec grammar, and what this build offers behind it."""

from collections.abc import Mapping

from codec.parameters import build
from codec.prune.base import Selector
from codec.prune.front import Front
from codec.prune.key_norm import KeyNorm
from codec.prune.random import Random
from codec.prune.recency import Recency
from codec.prune.value_norm import ValueNorm
from codec.quantize.base import Quantizer
from codec.quantize.floats import Bf16, Fp16, Fp32
from codec.quantize.fp8 import Fp8
from codec.quantize.int4 import Int4
from codec.quantize.int8 import Int8
from codec.quantize.nf4 import Nf4
from codec.quantize.rd import Rd
from kvwire.errors import SpecError

QUANTIZERS: dict[str, type[Quantizer]] = {
    "fp32": Fp32,
    "fp16": Fp16,
    "bf16": Bf16,
    "fp8": Fp8,
    "int8": Int8,
    "int4": Int4,
    "nf4": Nf4,
    "rd": Rd,
}

#: Names of the grammar without a quantizer yet: a spec may name them, :func:`resolve` refuses them.
RESERVED = ("kivi", "hadamard")

BASES = (*QUANTIZERS, *RESERVED)

SELECTORS: dict[str, type[Selector]] = {
    "recency": Recency,
    "front": Front,
    "random": Random,
    "key_norm": KeyNorm,
    "value_norm": ValueNorm,
}


def resolve(base: str, parameters: Mapping[str, str]) -> Quantizer:
    """The quantizer of a base with its parameters' texts.

    Raises:
        SpecError: This build does not offer the base, or the quantizer refuses a parameter.
    """
    if base not in QUANTIZERS:
        raise SpecError(f"codec base {base!r} is not offered by this build; offered: {', '.join(QUANTIZERS)}")
    return build(QUANTIZERS[base], parameters, base)


def selector(name: str) -> Selector:
    """The selector of a ``keep=...,by=`` name.

    Raises:
        SpecError: This build does not offer it.
    """
    if name not in SELECTORS:
        raise SpecError(f"selector {name!r} is not offered by this build; offered: {', '.join(SELECTORS)}")
    return SELECTORS[name]()
