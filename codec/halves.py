"""A layer's keys and values worked on side by side, on two threads, where each half's loops run on one."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

T = TypeVar("T")

# Handing work to another thread and waiting for it costs about 50 us, in which rd codes 8,000 numbers.
_WORTH_SHARING = 1 << 15


def side_by_side(numbers: int) -> bool:
    """Whether a half of so many numbers is worth a thread, and the caller may use another one."""
    return numbers >= _WORTH_SHARING and torch.get_num_threads() > 1


def both(keys: Callable[[], T], values: Callable[[], T]) -> tuple[T, T]:
    """Results of the two, the second on a thread of its own; the first error is raised, when both have ended."""
    later = _threads().submit(values)
    try:
        first = keys()
    finally:
        later.exception()
    return first, later.result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="values")
