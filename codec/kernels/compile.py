"""How loops are compiled: to IEEE arithmetic in source order, without the interpreter's lock, kept on disk.

numba names what it keeps after the function's qualified name, and checks only the file of that function, though what
it compiled into it may stand in another. So every loop's name ends in a digest of all files of this package, and after
an edit in any of them all loops are compiled anew.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import extending

F = TypeVar("F", bound=Callable[..., Any])

_SOURCES = hashlib.sha256(b"\0".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))))

# The one layer of numba that several threads may enter and that needs no further library.
numba.config.THREADING_LAYER = "omp"  # type: ignore[attr-defined]  # set by name at import, unknown to its types


def loop(function: F) -> F:
    """For the loops themselves."""
    return cast("F", numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(_named(function)))


def loops(function: F) -> F:
    """For a caller that runs a loop over several ranges of rows at a time."""
    compiled = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", parallel=True)(_named(function))
    return cast("F", compiled)


def _named(function: F) -> F:
    function.__qualname__ += f"_{_SOURCES.hexdigest()[:16]}"
    return function


#: For a part of a loop that takes arrays: a call would count references to them, once per number.
spliced: Callable[[F], F] = cast(
    "Callable[[F], F]", numba.njit(inline="always", nogil=True, fastmath=False, error_model="numpy")
)

#: For what only loops call.
inlined: Callable[[F], F] = extending.register_jitable

#: For choosing a compiled function by the types of its arguments.
overload: Callable[[F], Callable[[F], F]] = extending.overload

#: For a part of a loop in LLVM's own words.
intrinsic: Callable[[F], Callable[..., Any]] = extending.intrinsic
