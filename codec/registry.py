"""The names of the codec grammar, and what is behind them."""

from collections.abc import Mapping

from codec.parameters import build
from codec.prune.attention import ObservedAttention
from codec.prune.base import Selector
from codec.prune.front import Front
from codec.prune.key_norm import KeyNorm
from codec.prune.question import QuestionAttention
from codec.prune.random import Random
from codec.prune.recency import Recency
from codec.prune.value_norm import ValueNorm
from codec.quantize.base import Quantizer
from codec.quantize.center import CenteredHadamard, CenteredInt4, CenteredInt8, CenteredNf4
from codec.quantize.floats import Bf16, Fp16, Fp32
from codec.quantize.fp8 import Fp8
from codec.quantize.kivi import Kivi
from codec.quantize.omit import OMIT, Omit
from codec.quantize.rd import Rd
from kvwire.errors import SpecError

QUANTIZERS: dict[str, type[Quantizer]] = {
    "fp32": Fp32,
    "fp16": Fp16,
    "bf16": Bf16,
    "fp8": Fp8,
    "int8": CenteredInt8,
    "int4": CenteredInt4,
    "nf4": CenteredNf4,
    "kivi": Kivi,
    "hadamard": CenteredHadamard,
    "rd": Rd,
    OMIT: Omit,
}

SELECTORS: dict[str, type[Selector]] = {
    "recency": Recency,
    "front": Front,
    "random": Random,
    "key_norm": KeyNorm,
    "value_norm": ValueNorm,
    "attention": ObservedAttention,
    "question": QuestionAttention,
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
