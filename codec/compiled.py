"""How loops are compiled: on first use, kept on disk, to IEEE arithmetic in source order, without the global lock."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

_njit: Any = numba.njit  # its own types lose those of the function
_Loop = TypeVar("_Loop", bound=Callable[..., Any])

#: fastmath stays off, so no product and sum is contracted and every CPU computes the same floats.
compiled: Callable[[_Loop], _Loop] = _njit(cache=True, nogil=True, fastmath=False, error_model="numpy")

#: For a part of a loop that takes arrays: a call would count references to them, once per number.
inlined: Callable[[_Loop], _Loop] = _njit(inline="always", nogil=True, fastmath=False, error_model="numpy")
