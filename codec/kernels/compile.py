"""How loops are compiled: to IEEE arithmetic in source order, without the interpreter's lock, kept on disk.

numba notices an edit only in the file of the function that was compiled: after one in ``numbers.py``, run
``make clean``, or what is on disk is used again.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
from numba import extending

F = TypeVar("F", bound=Callable[..., Any])

# The one layer of numba that several threads may enter and that needs no further library.
numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]  # set by name at import, unknown to its types


def loop(function: F) -> F:
    """For the loops themselves."""
    return cast("F", numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function))


def loops(function: F) -> F:
    """For a caller that runs a loop over several ranges of rows at a time."""
    compiled = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", parallel=True)(function)
    return cast("F", compiled)


#: For what only loops call.
inlined: Callable[[F], F] = extending.register_jitable

#: For choosing a compiled function by the types of its arguments.
overload: Callable[[F], Callable[[F], F]] = extending.overload
