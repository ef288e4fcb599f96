"""Bits and roundings that all loops share; every function is compiled into its caller.

Input comes as float32, as uint16 (the bits of bfloat16) or as int16 (the bits of float16), because numba computes with
neither; the type alone says which.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from codec.kernels.compile import inlined, overload

#: Bits of float32 infinity: what is not below is no finite number.
INFINITE = np.uint32(0x7F800000)
#: Bits of float16 infinity.
INFINITE_HALF = np.int16(0x7C00)

#: The smallest positive float16, as in codec/quantize/scale.py.
SMALLEST = np.float32(2.0**-24)

_MAGNITUDE = np.uint32(0x7FFFFFFF)

#: 1.5 x 2^23: adding it rounds a float32 below 2^22 to a whole number, halves to even, which the low bits then hold.
_WHOLE = np.float32(12582912.0)
_WHOLE_BITS = np.uint32(0x4B400000)

_HALF_MAGNITUDE = np.uint32(0x7FFF)
_HALF_TO_SINGLE = np.float32(2.0**112)
_HALF_OVERFLOWS = np.float32(65536.0)
_HALF_TOP = np.uint32(0x477FE000)  # 65504 in float32
_HALF_NORMAL = np.uint32(0x38800000)  # 2^-14 in float32
_HALF_STEPS = np.float32(2.0**24)


def widen(number: Any) -> Any:
    """The float32 of an input number; exact. Only compiled code calls it."""
    raise NotImplementedError


@overload(widen)
def _widen(number: Any) -> Callable[[Any], Any] | None:
    return {types.float32: _same, types.uint16: _from_bfloat16, types.int16: _from_float16}.get(number)


def _same(number: Any) -> Any:
    return number


def _from_bfloat16(number: Any) -> Any:
    return np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


def _from_float16(number: Any) -> Any:
    bits = np.uint32(np.uint16(number))
    magnitude = np.uint32((bits & _HALF_MAGNITUDE) << np.uint32(13)).view(np.float32) * _HALF_TO_SINGLE
    # float16's infinities and NaNs are plain numbers in the wider format's bits; all that matters is that they show.
    whole = INFINITE if magnitude >= _HALF_OVERFLOWS else np.float32(magnitude).view(np.uint32)
    sign = np.uint32((bits & np.uint32(0x8000)) << np.uint32(16))
    return np.uint32(whole | sign).view(np.float32)


from_half = inlined(_from_float16)


@inlined
def magnitude(number: Any) -> Any:
    """Bits of a float32 without its sign: ordered like magnitudes, infinity and NaN above all."""
    return np.float32(number).view(np.uint32) & _MAGNITUDE


@inlined
def whole(number: Any) -> Any:
    """int32: a float32 of magnitude below 2^22 rounded to a whole number, halves to even."""
    return np.int32(np.float32(number + _WHOLE).view(np.uint32) - _WHOLE_BITS)


@inlined
def half_above(number: Any) -> Any:
    """int16 bits of the least float16 that is not below a float32, which is not negative; infinity for NaN too."""
    bits = np.float32(number).view(np.uint32)
    if bits > _HALF_TOP:
        return INFINITE_HALF
    if bits >= _HALF_NORMAL:
        return np.int16((bits - np.uint32(0x38000000) + np.uint32(0x1FFF)) >> np.uint32(13))
    steps = number * _HALF_STEPS
    below = np.int16(steps)
    return np.int16(below + 1) if np.float32(below) < steps else below
